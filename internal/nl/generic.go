package nl

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/netns"
)

// Generic asks one family of generic netlink in one namespace, where much is asked for: it makes no heap object for what it reads. It may be used by
// one goroutine at a time.
type Generic struct {
	r      *raw
	family uint16
	seq    uint32
	msg    []byte
}

// OpenGeneric opens it in the namespace at path; an empty path is the caller's own. family is the kernel's number of it. At most `most` octets are read at
// once, for which the kernel makes room before it knows how much it has to say: many short lists are read faster by little.
func OpenGeneric(path string, family uint16, most int) (*Generic, error) {
	open := netns.Current
	if path != "" {
		open = func() (*netns.Handle, error) { return netns.Open(path) }
	}
	ns, err := open()
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	r, err := openRaw(ns, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, err
	}
	r.most = min(most, len(r.buf))
	return &Generic{r: r, family: family}, nil
}

// Close closes the socket.
func (g *Generic) Close() error { return g.r.close() }

// Dump asks for a list, with attributes that say of what, and gives fn the attributes of each thing on it, which are valid until fn returns. The error is
// the kernel's, or says that the list changed meanwhile (netlink.ErrDumpInterrupted).
func (g *Generic) Dump(cmd, version uint8, attrs []byte, fn func(attrs []byte)) error {
	g.seq++
	g.msg = append(g.msg[:0], make([]byte, unix.NLMSG_HDRLEN)...)
	g.msg = append(append(g.msg, cmd, version, 0, 0), attrs...)
	putHeader(g.msg, g.family, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, g.seq)
	if err := g.r.send(g.msg); err != nil {
		return fmt.Errorf("cannot ask generic netlink: %w", err)
	}
	var changed error
	err := g.r.receive(func(a answer) (bool, error) {
		if a.seq != g.seq {
			return false, nil
		}
		if a.flags&unix.NLM_F_DUMP_INTR != 0 {
			changed = netlink.ErrDumpInterrupted
		}
		switch {
		case a.typ == unix.NLMSG_DONE || a.typ == unix.NLMSG_ERROR:
			if e := a.errno(); e != 0 {
				return true, e
			}
			return true, changed
		case len(a.body) >= unix.GENL_HDRLEN:
			fn(a.body[unix.GENL_HDRLEN:])
		}
		return false, nil
	})
	return err
}

// EachAttr gives fn the type, without its flags, and the data of each attribute (struct nlattr in linux/netlink.h).
func EachAttr(b []byte, fn func(typ uint16, data []byte)) { eachAttr(b, fn) }

// AppendAttr appends an attribute.
func AppendAttr(b []byte, typ uint16, data []byte) []byte { return appendAttr(b, typ, data) }
