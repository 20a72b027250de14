package nl

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
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
// namespace's whole table: not for every pass.
func (c *Conn) DeleteFlows(match func(Flow) bool) (int, error) {
	h, err := netlink.NewHandleAt(vnetns.NsHandle(c.ns.FD()), unix.NETLINK_NETFILTER)
	if err != nil {
		return 0, fmt.Errorf("cannot open conntrack: %w", err)
	}
	defer h.Close()
	total := 0
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		for try := 0; ; try++ {
			n, err := h.ConntrackDeleteFilters(netlink.ConntrackTable, family, flowFilter(match))
			total += int(n)
			if errors.Is(err, netlink.ErrDumpInterrupted) && try < 5 {
				continue
			}
			// A kernel without it tracks nothing; nor has an ordinary user's namespace every family.
			if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EAFNOSUPPORT) {
				return total, fmt.Errorf("cannot delete conntrack entries: %w", err)
			}
			break
		}
	}
	return total, nil
}

type flowFilter func(Flow) bool

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (f flowFilter) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	return f(Flow{
		Proto: flow.Forward.Protocol, Mark: flow.Mark,
		Src: addrPort(flow.Forward.SrcIP, flow.Forward.SrcPort), Dst: addrPort(flow.Forward.DstIP, flow.Forward.DstPort),
		ReplySrc: addrPort(flow.Reverse.SrcIP, flow.Reverse.SrcPort), ReplyDst: addrPort(flow.Reverse.DstIP, flow.Reverse.DstPort),
	})
}

func addrPort(ip net.IP, port uint16) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(a.Unmap(), port)
}
