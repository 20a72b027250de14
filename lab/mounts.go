package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// privateMounts keeps what is mounted from here on from every other mount namespace, and gives this one a /proc of its own pid namespace.
func privateMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make the mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("cannot mount a /proc of its own (%w): inside a container, give it an unmasked /proc", err)
	}
	return nil
}

// nodeMounts gives a node its own, empty /run, as after a boot, and the lab's resolv.conf and hosts.
func nodeMounts(dir string) error {
	resolv, hosts := realPath("/etc/resolv.conf"), realPath("/etc/hosts") // before /run, where they may lead, is hidden
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("cannot mount a /run of its own: %w", err)
	}
	for target, source := range map[string]string{resolv: "resolv.conf", hosts: "hosts"} {
		if err := bindFile(filepath.Join(dir, source), target); err != nil {
			return err
		}
	}
	return nil
}

func realPath(path string) string {
	if p, err := filepath.EvalSymlinks(path); err == nil {
		return p
	}
	// A dangling link into /run (systemd-resolved is not there) can be completed on the node's own.
	if p, err := os.Readlink(path); err == nil {
		if !filepath.IsAbs(p) {
			p = filepath.Join(filepath.Dir(path), p)
		}
		return p
	}
	return path
}

// bindFile shows source at target. A target that is missing is made on the node's own /run and left out elsewhere: nothing is written to
// the machine's files.
func bindFile(source, target string) error {
	if strings.HasPrefix(target, "/run/") {
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, nil, 0o644); err != nil {
			return err
		}
	}
	if _, err := os.Stat(target); err != nil {
		return nil
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("cannot show the lab's file at %s: %w", target, err)
	}
	return nil
}
