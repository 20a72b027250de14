package netns

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
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
