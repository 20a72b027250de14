package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const etcArg = "test-etc" // this test binary in a mount namespace of its own, with a small /etc that lacks files

// testEtc plays a host whose /etc/resolv.conf is a dangling link and that has no /etc/hostname.
func testEtc(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	etc := filepath.Join(dir, "hostetc")
	if err := os.MkdirAll(filepath.Join(etc, "ssl"), 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{"hosts": "host's hosts", "passwd": "root:x:0:0", "ssl/cert": "cert"} {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := os.Symlink("/run/no/such", filepath.Join(etc, "resolv.conf")); err != nil {
		return err
	}
	if err := unix.Mount(etc, "/etc", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if err := mountEtc(dir); err != nil {
		return err
	}
	for _, name := range []string{"resolv.conf", "hosts", "hostname", "passwd", "ssl/cert"} {
		b, err := os.ReadFile("/etc/" + name)
		fmt.Printf("%s=%s,%v\n", name, b, err)
	}
	// What the task writes is its own.
	return os.WriteFile("/etc/resolv.conf", []byte("scribble"), 0o644)
}

func TestKernelEtcThatLacksFiles(t *testing.T) {
	needNamespaces(t)
	dir := t.TempDir()
	for _, name := range etcFiles {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("our "+name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/proc/self/exe", etcArg, dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := "resolv.conf=our resolv.conf,<nil>\nhosts=our hosts,<nil>\nhostname=our hostname,<nil>\npasswd=root:x:0:0,<nil>\nssl/cert=cert,<nil>\n"
	if string(out) != want {
		t.Errorf("inside:\n%swant:\n%s", out, want)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "hostetc"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "hosts passwd resolv.conf ssl" {
		t.Errorf("the host's /etc has become %s", got)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "resolv.conf")); string(b) != "scribble" {
		t.Errorf("the task's own file is %q", b)
	}
}
