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
	return wrapLink("set up the port of", index, c.request(msg, unix.RTM_SETLINK))
}

// request sends one message, its header not filled in yet, and reads its acknowledgement.
func (c *Conn) request(msg []byte, typ uint16) error {
	seq := c.seq
	c.seq++
	putHeader(msg, typ, unix.NLM_F_REQUEST|unix.NLM_F_ACK, seq)
	if err := c.raw.send(msg); err != nil {
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
