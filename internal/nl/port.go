package nl

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Port is how a bridge treats one of its ports (bridge(8), `bridge link set`).
type Port struct {
	// Learning has the bridge learn addresses from the port's frames, Flood send frames to unknown addresses out of it.
	Learning, Flood bool
	// Isolated keeps the port from talking to other isolated ports.
	Isolated bool
	// Locked drops frames whose source address has no entry for this port: nobody speaks in another's name. Older kernels do not know it and do
	// without.
	Locked bool
}

// Attributes of a bridge port (linux/if_link.h).
const (
	brportLearning = 8
	brportFlood    = 9
	brportIsolated = 33
	brportLocked   = 39
)

// SetPort sets all of an interface's port settings in one request.
func (c *Conn) SetPort(index int, p Port) error {
	var info []byte
	for _, a := range []struct {
		typ uint16
		on  bool
	}{{brportLearning, p.Learning}, {brportFlood, p.Flood}, {brportIsolated, p.Isolated}, {brportLocked, p.Locked}} {
		v := []byte{0}
		if a.on {
			v[0] = 1
		}
		info = appendAttr(info, a.typ, v)
	}
	msg := make([]byte, unix.NLMSG_HDRLEN+unix.SizeofIfInfomsg)
	msg[unix.NLMSG_HDRLEN] = unix.AF_BRIDGE
	binary.NativeEndian.PutUint32(msg[unix.NLMSG_HDRLEN+4:], uint32(index))
	msg = appendAttr(msg, unix.IFLA_PROTINFO|unix.NLA_F_NESTED, info)
	return c.setLink(index, func() error { return c.request(msg, unix.RTM_SETLINK) }, "type bridge_slave %s", p)
}

// request sends one message, its header not filled in yet, and reads its acknowledgement.
func (c *Conn) request(msg []byte, typ uint16) error {
	seq := c.seq
	c.seq++
	putHeader(msg, typ, unix.NLM_F_REQUEST|unix.NLM_F_ACK, seq)
	if err := c.sendRaw(msg); err != nil {
		return fmt.Errorf("cannot ask rtnetlink: %w", err)
	}
	return c.raw.receive(func(a answer) (bool, error) {
		if a.seq != seq || a.typ != unix.NLMSG_ERROR {
			return false, nil
		}
		if e := a.errno(); e != 0 {
			return true, e
		}
		return true, nil
	})
}

// ask sends one message, its header not filled in yet, and gives the one that is the answer to read.
func (c *Conn) ask(msg []byte, typ uint16, read func(body []byte)) error {
	seq := c.seq
	c.seq++
	putHeader(msg, typ, unix.NLM_F_REQUEST, seq)
	if err := c.sendRaw(msg); err != nil {
		return fmt.Errorf("cannot ask rtnetlink: %w", err)
	}
	return c.raw.receive(func(a answer) (bool, error) {
		switch {
		case a.seq != seq:
			return false, nil
		case a.typ == unix.NLMSG_ERROR:
			if e := a.errno(); e != 0 {
				return true, e
			}
			return true, nil
		}
		read(a.body)
		return true, nil
	})
}

// Attributes on the way to a port's settings in an answer to RTM_GETLINK (linux/if_link.h).
const infoSlaveData = 5

// Port reads how a bridge treats one of its ports.
func (c *Conn) Port(index int) (Port, error) {
	p, _, err := c.port(index)
	return p, err
}

// EnsurePort is SetPort where a setting is not as wanted; what this kernel does not know is no difference.
func (c *Conn) EnsurePort(index int, want Port) error {
	have, locks, err := c.port(index)
	if err != nil {
		return err
	}
	if !locks {
		have.Locked = want.Locked
	}
	if have == want {
		return nil
	}
	return c.SetPort(index, want)
}

// port also reports whether the kernel knows locked ports.
func (c *Conn) port(index int) (p Port, locks bool, err error) {
	msg := make([]byte, unix.NLMSG_HDRLEN+unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(msg[unix.NLMSG_HDRLEN+4:], uint32(index))
	err = c.ask(msg, unix.RTM_GETLINK, func(body []byte) {
		if len(body) < unix.SizeofIfInfomsg {
			return
		}
		eachAttr(body[unix.SizeofIfInfomsg:], func(typ uint16, info []byte) {
			if typ != unix.IFLA_LINKINFO {
				return
			}
			eachAttr(info, func(typ uint16, data []byte) {
				if typ == infoSlaveData {
					locks = p.read(data)
				}
			})
		})
	})
	return p, locks, wrapLink("look up the port of", index, err)
}

func (p *Port) read(data []byte) (locks bool) {
	eachAttr(data, func(typ uint16, v []byte) {
		on := len(v) == 1 && v[0] != 0
		switch typ {
		case brportLearning:
			p.Learning = on
		case brportFlood:
			p.Flood = on
		case brportIsolated:
			p.Isolated = on
		case brportLocked:
			p.Locked, locks = on, true
		}
	})
	return locks
}

// eachAttr gives each attribute of a list to fn, without the flags of its type.
func eachAttr(b []byte, fn func(typ uint16, data []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return
		}
		fn(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofRtAttr:n])
		b = b[min(align(n), len(b)):]
	}
}

func (p Port) String() string {
	word := func(on bool) string {
		if on {
			return "on"
		}
		return "off"
	}
	return fmt.Sprintf("learning %s flood %s isolated %s locked %s", word(p.Learning), word(p.Flood), word(p.Isolated), word(p.Locked))
}

func wrapLink(what string, index int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot %s link %d: %w", what, index, err)
}
