package nl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Flow is an entry of connection tracking: what was asked (Src to Dst), and the addresses between which the answers go.
type Flow struct {
	Proto              uint8 // of the IP header
	Src, Dst           netip.AddrPort
	ReplySrc, ReplyDst netip.AddrPort
	Mark               uint32
}

// Translated reports whether the destination was translated.
func (f Flow) Translated() bool { return f.ReplySrc != f.Dst }

// DeleteFlows forgets the flows for which match answers true, of both families, and returns how many there were. It dumps the
// namespace's whole table, for which the kernel walks the host's: some 10 ms, and not for every pass.
func (c *Conn) DeleteFlows(match func(Flow) bool) (int, error) {
	if n, err := c.GetSysctl("net/netfilter/nf_conntrack_count"); err == nil && n == "0" {
		return 0, nil
	}
	r, err := openRaw(c.ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return 0, fmt.Errorf("cannot open conntrack: %w", err)
	}
	defer func() { go r.close() }() // as package nft does: it may wait for somebody's transaction of nftables
	for try := 0; ; try++ {
		found, err := r.dumpFlows(match)
		if errors.Is(err, netlink.ErrDumpInterrupted) && try < 5 {
			continue
		}
		n := 0
		for _, entry := range found {
			gone, derr := r.deleteFlow(entry)
			if gone {
				n++
			}
			err = errors.Join(err, derr)
		}
		// A kernel without it tracks nothing.
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return n, fmt.Errorf("cannot delete conntrack entries: %w", err)
		}
		return n, nil
	}
}

// Messages and attributes of ctnetlink (linux/netfilter/nfnetlink_conntrack.h).
const (
	ctGet    = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1
	ctDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2

	sizeofNfgenmsg = 4 // linux/netfilter/nfnetlink.h

	ctaTupleOrig, ctaTupleReply, ctaMark = 1, 2, 8
	ctaID, ctaZone                       = 12, 18
	ctaTupleIP, ctaTupleProto            = 1, 2
	ctaSrc4, ctaDst4, ctaSrc6, ctaDst6   = 1, 2, 3, 4
	ctaProtoNum, ctaSrcPort, ctaDstPort  = 1, 2, 3
)

// dumpFlows returns the bodies of the messages about the flows that match: struct nfgenmsg, attributes.
func (r *raw) dumpFlows(match func(Flow) bool) (found [][]byte, err error) {
	const seq = 1
	msg := make([]byte, unix.NLMSG_HDRLEN+sizeofNfgenmsg) // of every family
	putHeader(msg, ctGet, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, seq)
	if err := r.send(msg); err != nil {
		return nil, err
	}
	interrupted := false
	err = r.receive(func(a answer) (bool, error) {
		if a.seq != seq {
			return false, nil
		}
		interrupted = interrupted || a.flags&unix.NLM_F_DUMP_INTR != 0
		switch {
		case a.typ == unix.NLMSG_DONE || a.typ == unix.NLMSG_ERROR:
			if e := a.errno(); e != 0 {
				return true, e
			}
			return true, nil
		case len(a.body) > sizeofNfgenmsg:
			if match(parseFlow(a.body[sizeofNfgenmsg:])) {
				found = append(found, append([]byte(nil), a.body...))
			}
		}
		return false, nil
	})
	if err == nil && interrupted {
		err = netlink.ErrDumpInterrupted
	}
	return found, err
}

// flowName is the part of what was dumped that names a flow to be deleted: its id and the tuple of its answers, not that of what was asked. The client
// may have come again from its port meanwhile and have been led elsewhere, and that flow, of the same question, may be where the old one was in memory,
// from which the kernel makes the id (nf_ct_get_id in net/netfilter/nf_conntrack_core.c).
func flowName(body []byte) []byte {
	out := append([]byte(nil), body[:sizeofNfgenmsg]...)
	eachAttr(body[sizeofNfgenmsg:], func(typ uint16, data []byte) {
		switch typ {
		case ctaTupleReply:
			out = appendAttr(out, typ|unix.NLA_F_NESTED, data)
		case ctaZone, ctaID:
			out = appendAttr(out, typ, data)
		}
	})
	return out
}

// deleteFlow takes back what was dumped. gone is false when it went by itself.
func (r *raw) deleteFlow(body []byte) (gone bool, err error) {
	const seq = 2
	msg := append(make([]byte, unix.NLMSG_HDRLEN), flowName(body)...)
	putHeader(msg, ctDelete, unix.NLM_F_REQUEST|unix.NLM_F_ACK, seq)
	if err := r.send(msg); err != nil {
		return false, err
	}
	err = r.receive(func(a answer) (bool, error) {
		if a.seq != seq || a.typ != unix.NLMSG_ERROR {
			return false, nil
		}
		switch e := a.errno(); e {
		case 0:
			gone = true
		case unix.ENOENT:
		default:
			return true, e
		}
		return true, nil
	})
	return gone, err
}

func parseFlow(b []byte) (f Flow) {
	eachAttr(b, func(typ uint16, data []byte) {
		switch {
		case typ == ctaTupleOrig:
			f.Src, f.Dst, f.Proto = parseTuple(data)
		case typ == ctaTupleReply:
			f.ReplySrc, f.ReplyDst, _ = parseTuple(data)
		case typ == ctaMark && len(data) == 4:
			f.Mark = binary.BigEndian.Uint32(data)
		}
	})
	return f
}

func parseTuple(b []byte) (src, dst netip.AddrPort, proto uint8) {
	var from, to netip.Addr
	var sport, dport uint16
	eachAttr(b, func(typ uint16, data []byte) {
		eachAttr(data, func(inner uint16, data []byte) {
			switch {
			case typ == ctaTupleIP && (inner == ctaSrc4 || inner == ctaSrc6):
				from, _ = netip.AddrFromSlice(data)
			case typ == ctaTupleIP && (inner == ctaDst4 || inner == ctaDst6):
				to, _ = netip.AddrFromSlice(data)
			case typ == ctaTupleProto && inner == ctaProtoNum && len(data) > 0:
				proto = data[0]
			case typ == ctaTupleProto && inner == ctaSrcPort && len(data) == 2:
				sport = binary.BigEndian.Uint16(data)
			case typ == ctaTupleProto && inner == ctaDstPort && len(data) == 2:
				dport = binary.BigEndian.Uint16(data)
			}
		})
	})
	return netip.AddrPortFrom(from, sport), netip.AddrPortFrom(to, dport), proto
}
