package netns

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestKernelNamespaceLifeCycle(t *testing.T) {
	dir := t.TempDir()
	created, err := Create(dir, "a")
	if errors.Is(err, unix.EPERM) {
		t.Skip("no privilege to make a network namespace")
	}
	if err != nil || !created {
		t.Fatalf("Create: %v %v", created, err)
	}
	t.Cleanup(func() { Delete(dir, "a") })
	if again, err := Create(dir, "a"); again || err != nil {
		t.Fatalf("second Create: %v %v", again, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "plain"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if names, err := List(dir); err != nil || len(names) != 1 || names[0] != "a" {
		t.Fatalf("List: %v %v", names, err)
	}
	var inside []net.Interface
	if err := Do(filepath.Join(dir, "a"), func() (err error) {
		inside, err = net.Interfaces()
		return err
	}); err != nil || len(inside) != 1 || inside[0].Name != "lo" {
		t.Fatalf("inside: %v %v", inside, err)
	}
	for range 2 { // the second time there is nothing to do
		if err := Delete(dir, "a"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(filepath.Join(dir, "a")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Open after Delete: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "plain")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Open of a plain file: %v", err)
	}
}

// A mount namespace that hears nothing of ours, as a task's where / is private, does not keep a namespace alive whose name was made anew.
func TestKernelMountNamespacesLetGo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if _, err := Create(dir, "a"); errors.Is(err, unix.EPERM) {
		t.Skip("no privilege to make a network namespace")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Delete(dir, "a") })
	apart := apartFrom(t)
	for _, again := range []string{"made", "named"} {
		if err := apart(func() error { return opens(path) }); err != nil {
			t.Fatalf("apart, before: %v", err)
		}
		h, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
		if err := apart(func() error { return opens(path) }); err != nil {
			t.Fatalf("apart, the unmount arrived, so that this shows nothing: %v", err)
		}
		if again == "made" {
			_, err = Create(dir, "a")
		} else {
			err = Restore(dir, "a", h)
		}
		if err := errors.Join(err, opens(path), h.Close()); err != nil {
			t.Fatal(err)
		}
		if err := apart(func() error { return opens(path) }); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("apart, after it was %s anew: %v", again, err)
		}
		apart = apartFrom(t)
	}
}

func opens(path string) error {
	h, err := Open(path)
	if err != nil {
		return err
	}
	return h.Close()
}

// apartFrom returns what runs a function in a mount namespace of its own, to which nothing propagates.
func apartFrom(t *testing.T) func(func() error) error {
	t.Helper()
	calls, answers, ready := make(chan func() error), make(chan error), make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		ready <- err
		for f := range calls {
			answers <- f()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(calls) })
	return func(f func() error) error { calls <- f; return <-answers }
}
