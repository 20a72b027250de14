package netns_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// A mount namespace that hears nothing of ours, as a task's where / is private, does not keep a namespace alive whose name was made anew.
func TestKernelMountNamespacesLetGo(t *testing.T) {
	kerneltest.Require(t, kerneltest.Namespaces)
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if _, err := netns.Create(dir, "a"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netns.Delete(dir, "a") })
	apart := apartFrom(t)
	for _, again := range []string{"made", "named"} {
		if err := apart(func() error { return opens(path) }); err != nil {
			t.Fatalf("apart, before: %v", err)
		}
		h, err := netns.Open(path)
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
			_, err = netns.Create(dir, "a")
		} else {
			err = netns.Restore(dir, "a", h)
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
	h, err := netns.Open(path)
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

// A namespace that was named again ends when its name is given to another and nobody is in it, whoever saw it meanwhile.
func TestKernelNamedAgainEnds(t *testing.T) {
	outside := kerneltest.NewNamespace(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if _, err := netns.Create(dir, "a"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netns.Delete(dir, "a") })
	h, err := netns.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	outside.With(func(c *nl.Conn) error { // an end of a pair goes with the namespace that the other is in
		return c.AddVeth(1500, nl.Veth{Name: "here"}, nl.Veth{Name: "there", NS: h})
	})
	if err := errors.Join(unix.Unmount(path, unix.MNT_DETACH), netns.Restore(dir, "a", h)); err != nil {
		t.Fatal(err)
	}
	apart := apartFrom(t)
	if err := errors.Join(apart(func() error { return opens(path) }), unix.Unmount(path, unix.MNT_DETACH), h.Close()); err != nil {
		t.Fatal(err)
	}
	there := func() (ok bool) {
		outside.With(func(c *nl.Conn) (err error) {
			_, ok, err = c.Link("here")
			return err
		})
		return ok
	}
	if !there() {
		t.Fatal("it ended before its name was given away, so that this shows nothing")
	}
	if _, err := netns.Create(dir, "a"); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); there(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatal("the namespace lives on")
		}
	}
}
