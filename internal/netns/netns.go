// Package netns makes, enters and removes network namespaces (network_namespaces(7)) that are kept by a bind mount of
// their nsfs file, as `ip netns` keeps its own. It is the only caller of setns and unshare.
package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Do runs fn on a thread of its own in the network namespace at path; an empty path is the caller's own. Sockets that fn
// opens stay in that namespace. fn must not start goroutines that expect to be in it.
func Do(path string, fn func() error) error {
	if path == "" {
		return fn()
	}
	h, err := Open(path)
	if err != nil {
		return err
	}
	defer h.Close()
	return h.Do(fn)
}

// Handle is an open network namespace.
type Handle struct{ f *os.File }

// Open opens the namespace at path. The error is fs.ErrNotExist when there is none.
func Open(path string) (*Handle, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) // os.Open would try to have it watched
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", &fs.PathError{Op: "open", Path: path, Err: err})
	}
	f := os.NewFile(uintptr(fd), path)
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		f.Close()
		return nil, fmt.Errorf("network namespace %s: %w", path, err)
	}
	// A plain file is where a namespace was before a reboot, or where making one was interrupted; proc is what kernels
	// before 3.19 have.
	if st.Type != unix.NSFS_MAGIC && st.Type != unix.PROC_SUPER_MAGIC {
		f.Close()
		return nil, fmt.Errorf("network namespace %s: %w", path, fs.ErrNotExist)
	}
	return &Handle{f}, nil
}

// Current opens the calling thread's own namespace.
func Current() (*Handle, error) { return Open("/proc/thread-self/ns/net") }

// OfSocket opens the namespace that a socket is in (ioctl SIOCGSKNS, linux/sockios.h).
func OfSocket(sock syscall.Conn) (*Handle, error) {
	raw, err := sock.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd uintptr
	var errno unix.Errno
	if err := raw.Control(func(s uintptr) { fd, _, errno = unix.Syscall(unix.SYS_IOCTL, s, unix.SIOCGSKNS, 0) }); err != nil {
		return nil, err
	}
	if errno != 0 {
		return nil, fmt.Errorf("network namespace of a socket: %w", errno)
	}
	unix.CloseOnExec(int(fd))
	return &Handle{os.NewFile(fd, "netns")}, nil
}

// FD is the open file of the namespace, valid until Close.
func (h *Handle) FD() int { return int(h.f.Fd()) }

// ID tells a namespace from all others that there are.
type ID struct{ dev, ino uint64 }

// ID is the namespace's, the same by whichever path it was opened, and nobody else's while anything keeps the namespace alive.
func (h *Handle) ID() (ID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(h.FD(), &st); err != nil {
		return ID{}, fmt.Errorf("network namespace %s: %w", h.f.Name(), err)
	}
	return ID{uint64(st.Dev), st.Ino}, nil
}

// Close closes the handle; the namespace lives on.
func (h *Handle) Close() error { return h.f.Close() }

// Do runs fn on a thread of its own in the namespace.
func (h *Handle) Do(fn func() error) error {
	return onThread(func() error {
		if err := unix.Setns(h.FD(), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("cannot enter network namespace %s: %w", h.f.Name(), err)
		}
		return fn()
	})
}

// Create makes the namespace NAME in dir, with its loopback interface down as the kernel makes it. One that is there already is
// left as it is; created says whether it was made.
func Create(dir, name string) (created bool, err error) {
	path := filepath.Join(dir, name)
	if h, err := Open(path); err == nil {
		return false, h.Close()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false, fmt.Errorf("cannot make the directory of the network namespaces: %w", err)
	}
	if err := mountPoint(path); err != nil {
		return false, fmt.Errorf("cannot make network namespace %s: %w", name, err)
	}
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		return mountOwn(path)
	})
	if err != nil {
		os.Remove(path)
		return false, fmt.Errorf("cannot make network namespace %s: %w", name, err)
	}
	return true, nil
}

// mountPoint makes the empty file that a namespace is mounted on. One that is there gives way to a new one: another mount namespace that does not
// hear of unmounts here (a task's, where / is private) may still have a namespace mounted on the old one, which lives as long as it does; with the
// file its mounts go everywhere. A file that is mounted on here cannot be removed (EBUSY).
func mountPoint(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	return f.Close()
}

// Restore gives a namespace that lives on, since h is open, the name NAME in dir: for one whose file was unmounted or removed.
func Restore(dir, name string, h *Handle) error {
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make the directory of the network namespaces: %w", err)
	}
	if err := mountPoint(path); err != nil {
		return fmt.Errorf("cannot name network namespace %s again: %w", name, err)
	}
	if err := h.Do(func() error { return mountOwn(path) }); err != nil {
		return fmt.Errorf("cannot name network namespace %s again: %w", name, err)
	}
	return nil
}

// mountOwn mounts the calling thread's namespace. It does so by the thread and not by an open file of the namespace: that may be of a mount that was
// lazily unmounted, whose state as such the kernel copies to what is bound from it. Such a mount, once another mount namespace has a copy of it and its
// file is removed, never goes, and keeps the namespace for ever (seen on 6.18).
func mountOwn(path string) error {
	return unix.Mount("/proc/thread-self/ns/net", path, "none", unix.MS_BIND, "")
}

// Delete removes a namespace: it goes with the last process in it. An absent one is deleted already.
func Delete(dir, name string) error {
	path := filepath.Join(dir, name)
	// MNT_DETACH: somebody may be looking at it. EINVAL: it is not mounted.
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("cannot remove network namespace %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove network namespace %s: %w", name, err)
	}
	return nil
}

// List names the namespaces in dir, in order. Files that hold none are left out.
func List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list network namespaces: %w", err)
	}
	var names []string
	for _, e := range entries {
		if h, err := Open(filepath.Join(dir, e.Name())); err == nil {
			h.Close()
			names = append(names, e.Name())
		}
	}
	return names, nil
}
