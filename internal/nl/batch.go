package nl

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// batchSize is how many entries travel in one sendmsg: past a few hundred nothing is gained.
const batchSize = 256

// shownErrors bounds what one error says: ten thousand refusals are one fault.
const shownErrors = 4

// SetNeighs adds or replaces entries, batchSize of them a system call with one acknowledgement: a list of ten thousand takes a tenth of the time
// that one request each would. An entry that is refused does not keep the others from being set.
func (c *Conn) SetNeighs(list []Neigh) error {
	for _, n := range list {
		c.plan.Add("%s dev %s", n.words(), c.name(n.Index))
	}
	return c.neighs(list, unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
}

// DelNeighs removes entries; absent ones are gone already.
func (c *Conn) DelNeighs(list []Neigh) error {
	for _, n := range list {
		c.plan.Remove("%s dev %s", n.words(), c.name(n.Index))
	}
	return c.neighs(list, unix.RTM_DELNEIGH, 0)
}

func (c *Conn) neighs(list []Neigh, typ, flags uint16) error {
	return sendAll(c, "neighbour entries", list, typ == unix.RTM_DELNEIGH, func(b []byte, n Neigh, ack uint16, seq uint32) []byte {
		return appendNeigh(b, n, typ, flags|ack|unix.NLM_F_REQUEST, seq)
	})
}

// sendAll sends a message about each of a list, as put appends it.
func sendAll[T fmt.Stringer](c *Conn, what string, list []T, del bool, put func(b []byte, v T, flags uint16, seq uint32) []byte) error {
	if c.plan.IsDry() {
		return nil
	}
	var refused []error
	for start := 0; start < len(list); start += batchSize {
		part := list[start:min(start+batchSize, len(list))]
		var msg []byte
		for i, v := range part {
			ack := uint16(0)
			if i == len(part)-1 {
				ack = unix.NLM_F_ACK
			}
			msg = put(msg, v, ack, c.seq+uint32(i))
		}
		errs, err := sendBatch(c, msg, part, del)
		if err != nil {
			return fmt.Errorf("cannot send %d %s: %w", len(part), what, err)
		}
		refused = append(refused, errs...)
	}
	if more := len(refused) - shownErrors; more > 0 {
		refused = append(refused[:shownErrors], fmt.Errorf("and %d more", more))
	}
	return errors.Join(refused...)
}

// sendBatch sends the messages about part and reads the answers: an error for each that is refused, asked for or not, and at the end the
// acknowledgement of the last, or its error (netlink(7)).
func sendBatch[T fmt.Stringer](c *Conn, msg []byte, part []T, del bool) (refused []error, err error) {
	first := c.seq
	c.seq += uint32(len(part))
	if err := c.sendRaw(msg); err != nil {
		return nil, err
	}
	err = c.raw.receive(func(a answer) (bool, error) {
		i := int(a.seq - first)
		if a.typ != unix.NLMSG_ERROR || i < 0 || i >= len(part) {
			return false, nil // left over from a request that timed out
		}
		if e := a.errno(); e != 0 && !(del && (e == unix.ENOENT || e == unix.ESRCH)) {
			refused = append(refused, fmt.Errorf("cannot set %s: %w", part[i], e))
		}
		return i == len(part)-1, nil
	})
	return refused, err
}

// appendNeigh appends one RTM_*NEIGH message: struct nlmsghdr, struct ndmsg (linux/neighbour.h), attributes.
func appendNeigh(b []byte, n Neigh, typ, flags uint16, seq uint32) []byte {
	start := len(b)
	b = append(b, make([]byte, unix.NLMSG_HDRLEN+unix.SizeofNdMsg)...)
	nd := b[start+unix.NLMSG_HDRLEN:]
	state, ntf := uint16(unix.NUD_PERMANENT), uint8(0)
	switch {
	case !n.FDB() && n.Addr.Is4():
		nd[0] = unix.AF_INET
	case !n.FDB():
		nd[0] = unix.AF_INET6
	case n.VTEP.IsValid():
		nd[0], ntf, state = unix.AF_BRIDGE, unix.NTF_SELF, unix.NUD_PERMANENT|unix.NUD_NOARP
	default: // on the bridge, for its port; NUD_NOARP is what `bridge fdb add … master static` sets
		nd[0], ntf, state = unix.AF_BRIDGE, unix.NTF_MASTER, unix.NUD_NOARP
	}
	binary.NativeEndian.PutUint32(nd[4:], uint32(n.Index))
	binary.NativeEndian.PutUint16(nd[8:], state)
	nd[10] = ntf
	switch {
	case !n.FDB():
		b = appendAttr(b, unix.NDA_DST, n.Addr.AsSlice())
	case n.VTEP.IsValid():
		b = appendAttr(b, unix.NDA_DST, n.VTEP.AsSlice())
	}
	b = appendAttr(b, unix.NDA_LLADDR, n.MAC[:])
	putHeader(b[start:], typ, flags, seq)
	return b
}

// putHeader fills in the struct nlmsghdr at the start of a whole message.
func putHeader(msg []byte, typ, flags uint16, seq uint32) {
	binary.NativeEndian.PutUint32(msg, uint32(len(msg)))
	binary.NativeEndian.PutUint16(msg[4:], typ)
	binary.NativeEndian.PutUint16(msg[6:], flags)
	binary.NativeEndian.PutUint32(msg[8:], seq)
}

func appendAttr(b []byte, typ uint16, data []byte) []byte {
	var head [4]byte
	binary.NativeEndian.PutUint16(head[:], uint16(4+len(data)))
	binary.NativeEndian.PutUint16(head[2:], typ)
	b = append(append(b, head[:]...), data...)
	return append(b, make([]byte, align(len(data))-len(data))...)
}
