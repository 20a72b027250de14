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
	raw  *raw
	seq  uint32     // of the next message on raw
	plan *plan.Plan // what is changed is told to it; nil: to nobody
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
	r, err := openRaw(ns, unix.NETLINK_ROUTE)
	if err != nil {
		h.Close()
		ns.Close()
		return nil, err
	}
	return &Conn{h: h, ns: ns, raw: r, seq: 1}, nil
}

// Close closes the sockets; the namespace stays.
func (c *Conn) Close() error {
	c.h.Close()
	return errors.Join(c.raw.close(), c.ns.Close())
}

// NS is the namespace that the connection works in.
func (c *Conn) NS() *netns.Handle { return c.ns }

// Sysctl sets a value below /proc/sys, given by its path with slashes ("net/ipv4/ip_forward"), in the namespace. One that this kernel
// does not have is reported as os.ErrNotExist. A value that is set already is not written again.
func (c *Conn) Sysctl(key, value string) error {
	path := "/proc/sys/" + key
	return c.ns.Do(func() error {
		if b, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(b)) == value {
			return nil
		}
		return c.setSysctl(path, key, value)
	})
}

// Sysctls sets many values, each a key and a value, in one visit to the namespace; those that this kernel does not have are left out.
func (c *Conn) Sysctls(list [][2]string) error {
	return c.ns.Do(func() error {
		for _, s := range list {
			path := "/proc/sys/" + s[0]
			b, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(b)) == s[1] {
				continue
			}
			if err := c.setSysctl(path, s[0], s[1]); err != nil {
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
			b, err := os.ReadFile("/proc/sys/" + s[0])
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			ok = ok && (err != nil || strings.TrimSpace(string(b)) == s[1])
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
	err := c.ns.Do(func() error {
		b, err := os.ReadFile("/proc/sys/" + key)
		out = strings.TrimSpace(string(b))
		return err
	})
	return out, err
}

// HasIPv6 reports whether the namespace can have IPv6 addresses.
func (c *Conn) HasIPv6() bool {
	v, err := c.GetSysctl("net/ipv6/conf/all/disable_ipv6")
	return err == nil && v == "0"
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
