package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// mountEtc gives the calling process's mount namespace, which must be its own, the task's files of /etc and a /proc of its PID
// namespace. Nothing of it reaches another mount namespace. dir holds the files.
func mountEtc(dir string) error {
	// Unmounts of the host still arrive here, else this namespace would hold on to file systems and sandboxes that are gone.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("keep the mounts apart: %w", err)
	}
	for _, name := range etcFiles {
		if _, err := os.Stat(filepath.Join("/etc", name)); errors.Is(err, fs.ErrNotExist) {
			if err := rebuildEtc(filepath.Join(dir, "etc")); err != nil {
				return err
			}
			break
		}
	}
	for _, name := range etcFiles {
		if err := bind(filepath.Join(dir, name), filepath.Join("/etc", name)); err != nil {
			return err
		}
	}
	// Where other mounts hide parts of /proc, a user namespace may not mount a new one: the old one does, with other process ids.
	_ = unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	return nil
}

func bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s over %s: %w", from, to, err)
	}
	return nil
}

// rebuildEtc mounts over /etc a small file system with the same entries, in which the files that the host lacks (or has as dangling
// links) exist. The host's /etc stays as it is.
func rebuildEtc(at string) error {
	entries, err := os.ReadDir("/etc")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=1m"); err != nil {
		return fmt.Errorf("mount a tmpfs on %s: %w", at, err)
	}
	for _, e := range entries {
		if err := mirror(filepath.Join("/etc", e.Name()), filepath.Join(at, e.Name()), e.Type()); err != nil {
			return err
		}
	}
	for _, name := range etcFiles {
		path := filepath.Join(at, name)
		if _, err := os.Lstat(path); err == nil {
			if link, _ := os.Readlink(path); link == "" {
				continue
			}
			if err := os.Remove(path); err != nil {
				return err
			}
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			return err
		}
	}
	if err := unix.Mount(at, "/etc", "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount over /etc: %w", err)
	}
	return nil
}

// mirror makes to stand for from: links are copied, directories and files bound.
func mirror(from, to string, typ fs.FileMode) error {
	switch {
	case typ&fs.ModeSymlink != 0:
		link, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(link, to)
	case typ.IsDir():
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
		return unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, "")
	case typ.IsRegular():
		if err := os.WriteFile(to, nil, 0o644); err != nil {
			return err
		}
		return bind(from, to)
	}
	return nil // sockets and the like have no business in /etc
}
