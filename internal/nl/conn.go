package nl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/plan"
)

// Conn works in one network namespace. It may be used by one goroutine at a time.
type Conn struct {
	h    *netlink.Handle
	ns   *netns.Handle
	raw  *raw       // nil: not needed yet
	seq  uint32     // of the next message on raw
	plan *plan.Plan // what is changed is told to it; nil: to nobody
	ipv6 bool       // found to have it
}

// Open opens the namespace at path; an empty path is the caller's own.
func Open(path string) (*Conn, error) {
	var ns *netns.Handle
	var err error
	if path == "" {
		ns, err = netns.Current()
	} else {
		ns, err = netns.Open(path)
	}
	if err != nil {
		return nil, err
	}
	h, err := netlink.NewHandleAt(vnetns.NsHandle(ns.FD()), unix.NETLINK_ROUTE)
	if err != nil {
		ns.Close()
		return nil, fmt.Errorf("cannot open rtnetlink: %w", err)
	}
	// Best effort: kernels before 4.20 dump everything and the results are filtered here all the same.
	_ = h.SetStrictCheck(true)
	return &Conn{h: h, ns: ns, seq: 1}, nil
}

// Close closes the sockets; the namespace stays.
func (c *Conn) Close() error {
	c.h.Close()
	if c.raw == nil {
		return c.ns.Close()
	}
	return errors.Join(c.raw.close(), c.ns.Close())
}

// sendRaw sends messages by the raw socket.
func (c *Conn) sendRaw(msg []byte) (err error) {
	if c.raw == nil {
		if c.raw, err = openRaw(c.ns, unix.NETLINK_ROUTE); err != nil {
			return err
		}
	}
	return c.raw.send(msg)
}

// NS is the namespace that the connection works in.
func (c *Conn) NS() *netns.Handle { return c.ns }

// Sysctl sets a value below /proc/sys, given by its path with slashes ("net/ipv4/ip_forward"), in the namespace. One that this kernel
// does not have is reported as os.ErrNotExist. A value that is set already is not written again.
func (c *Conn) Sysctl(key, value string) error {
	path := "/proc/sys/" + key
	return c.ns.Do(func() error {
		if have, err := readSysctl(key); err == nil && have == value {
			return nil
		}
		return c.setSysctl(path, key, value)
	})
}

// Sysctls sets many values, each a key and a value, in one visit to the namespace; those that this kernel does not have are left out.
func (c *Conn) Sysctls(list [][2]string) error {
	return c.ns.Do(func() error {
		for _, s := range list {
			have, err := readSysctl(s[0])
			if errors.Is(err, fs.ErrNotExist) || err == nil && have == s[1] {
				continue
			}
			if err := c.setSysctl("/proc/sys/"+s[0], s[0], s[1]); err != nil {
				return err
			}
		}
		return nil
	})
}

// SysctlsAre reports whether all values, each a key and a value, are set in a namespace; those that this kernel does not have are left out.
func SysctlsAre(ns *netns.Handle, list [][2]string) (ok bool, err error) {
	ok = true
	err = ns.Do(func() error {
		for _, s := range list {
			have, err := readSysctl(s[0])
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			ok = ok && (err != nil || have == s[1])
		}
		return nil
	})
	return ok, err
}

func (c *Conn) setSysctl(path, key, value string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	return c.adding(func() error {
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			return fmt.Errorf("sysctl %s=%s: %w", strings.ReplaceAll(key, "/", "."), value, err)
		}
		return nil
	}, "sysctl %s=%s", strings.ReplaceAll(key, "/", "."), value)
}

// GetSysctl reads a value below /proc/sys in the namespace.
func (c *Conn) GetSysctl(key string) (string, error) {
	var out string
	err := c.ns.Do(func() (err error) {
		out, err = readSysctl(key)
		return err
	})
	return out, err
}

// OtherSysctls returns those of the keys and values that are not so, in one visit to the namespace. A key that this kernel does not have is os.ErrNotExist.
func (c *Conn) OtherSysctls(want [][2]string) (other [][2]string, err error) {
	err = c.ns.Do(func() error {
		for _, s := range want {
			have, err := readSysctl(s[0])
			if err != nil {
				return err
			}
			if have != s[1] {
				other = append(other, s)
			}
		}
		return nil
	})
	return other, err
}

// readSysctl reads a value in the thread's own namespace. A pass reads dozens: package os would have each watched by epoll, which answers at once that it
// can be read, and wakes a thread for that.
func readSysctl(key string) (string, error) {
	path := "/proc/sys/" + key
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var buf [128]byte
	n, err := unix.Read(fd, buf[:])
	if err != nil {
		return "", &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return strings.TrimSpace(string(buf[:n])), nil
}

// HasIPv6 reports whether the namespace can have IPv6 addresses, or could when it was last asked.
func (c *Conn) HasIPv6() bool {
	if !c.ipv6 { // a pass asks a dozen times, and each is a visit to the namespace
		v, err := c.GetSysctl("net/ipv6/conf/all/disable_ipv6")
		c.ipv6 = err == nil && v == "0"
	}
	return c.ipv6
}

// dump repeats a dump until the kernel gives it in one piece: another change meanwhile interrupts it (NLM_F_DUMP_INTR).
func dump[T any](what string, f func() ([]T, error)) ([]T, error) {
	for try := 0; ; try++ {
		out, err := f()
		if err == nil {
			return out, nil
		}
		if try < 20 && (errors.Is(err, netlink.ErrDumpInterrupted) || errors.Is(err, unix.EINTR)) {
			continue
		}
		return nil, fmt.Errorf("cannot list %s: %w", what, err)
	}
}

// absent reports whether an error of a removal says that there was nothing to remove.
func absent(err error) bool {
	var notFound netlink.LinkNotFoundError
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) ||
		errors.Is(err, unix.EADDRNOTAVAIL) || errors.As(err, &notFound)
}
