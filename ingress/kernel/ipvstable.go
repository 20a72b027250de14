package kernel

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/ingress/kernel/ipvs"
	"github.com/swarmnet/swarmnet/internal/nft"
)

// dests are a service's destinations: those that take connections, and with weight 0 those that have some still. The Lost keep only what has an end
// of its own.
func dests(backends, draining, lost []netip.AddrPort, ends bool) map[netip.AddrPort]ipvs.Dest {
	out := map[netip.AddrPort]ipvs.Dest{}
	if ends {
		draining = slices.Concat(draining, lost)
	}
	for _, a := range draining {
		out[a] = ipvs.Dest{}
	}
	for _, a := range backends {
		out[a] = ipvs.Dest{Weight: 1}
	}
	return out
}

// portServices are one service for each published port and each of the fabric's addresses.
func portServices(addrs []netip.Addr, ports []ingress.Port, scheduler ipvs.Scheduler) ipvs.Table {
	out := ipvs.Table{}
	for _, addr := range addrs {
		for _, p := range ports {
			of := func(list []ingress.Backend) (out []netip.AddrPort) {
				for _, b := range ofFamily(list, addr.Is6()) {
					out = append(out, netip.AddrPortFrom(b.Addr, b.Port))
				}
				return out
			}
			s := ipvs.NewService(scheduler)
			s.Dests = dests(of(p.Backends), of(p.Draining), of(p.Lost), p.Protocol != swarmnet.UDP)
			if len(s.Dests) > 0 {
				out[ipvs.At(protoNumber(p.Protocol), netip.AddrPortFrom(addr, p.Published))] = s
			}
		}
	}
	return out
}

// oursInFabric are the services at the fabric's addresses.
func oursInFabric(addrs []netip.Addr) func(ipvs.Key) bool {
	return func(k ipvs.Key) bool { return k.Mark == 0 && slices.Contains(addrs, k.Addr.Addr()) }
}

// Firewall marks of virtual addresses: the first octet says that they are ours, the last bit is set for protocols whose connections have an end
// (TCP and SCTP), which are balanced apart from the others since the Lost keep them.
const (
	markOurs   = 0x77 << 24
	markMask   = 0xff << 24
	markStream = 1
	marks      = 1 << 22 // how many virtual addresses can have one
)

// markOf are the marks of virtual addresses, without markStream. A mark is made from its address, so that it stays the same while others come and go.
func markOf(vips ingress.VIPs) map[netip.Addr]uint32 {
	out, taken := make(map[netip.Addr]uint32, len(vips)), make(map[uint32]bool, len(vips))
	for _, v := range vips {
		sum := sha256.Sum256(v.Addr.AsSlice())
		n := binary.BigEndian.Uint32(sum[:]) % marks
		for taken[n] {
			n = (n + 1) % marks
		}
		taken[n] = true
		out[v.Addr] = markOurs | n<<1
	}
	return out
}

// oursInSandbox are the services of our marks.
func oursInSandbox(k ipvs.Key) bool { return k.Mark&markMask == markOurs }

// vipServices are two services for each virtual address: one for the protocols whose connections have an end, one for all others.
func vipServices(m marked, scheduler ipvs.Scheduler) ipvs.Table {
	out := ipvs.Table{}
	for _, v := range m.vips {
		for _, stream := range []uint32{0, markStream} {
			s := ipvs.NewService(scheduler)
			s.Dests = dests(anyPort(v.Backends), anyPort(v.Draining), anyPort(v.Lost), stream != 0)
			if len(s.Dests) > 0 {
				out[ipvs.Marked(m.marks[v.Addr]|stream, v.Addr.Is6())] = s
			}
		}
	}
	return out
}

// anyPort are destinations at the port that was asked.
func anyPort(list []netip.Addr) []netip.AddrPort {
	out := make([]netip.AddrPort, len(list))
	for i, a := range list {
		out[i] = netip.AddrPortFrom(a, 0)
	}
	return out
}

// marked is what the table of marks is made from.
type marked struct {
	vips  ingress.VIPs
	marks map[netip.Addr]uint32 // markOf(vips)
}

func withMarks(vips ingress.VIPs) marked { return marked{vips, markOf(vips)} }

func (m marked) equal(o marked) bool { return slices.EqualFunc(m.vips, o.vips, ingress.VIP.Equal) }

// restrictMarked is restrictVIPs with the marks that there are among all.
func restrictMarked(a, b marked) (marked, marked) {
	was, is := restrictVIPs(a.vips, b.vips)
	for _, v := range b.vips {
		if m, had := a.marks[v.Addr]; had && m != b.marks[v.Addr] {
			was, is = append(was, v), append(is, v)
		}
	}
	return marked{was, a.marks}, marked{is, b.marks}
}

// markTable leads what is sent to virtual addresses to IPVS:
//
//	map others4 { type ipv4_addr : mark }   { 10.0.1.9 : 0x77000002 }
//	map streams4 { type ipv4_addr : mark }  { 10.0.1.9 : 0x77000003 }
//	map pinged4 { type ipv4_addr : ipv4_addr }  IPVS balances no pings: the first task answers them
//	set refused4 { type ipv4_addr }             virtual addresses that take no new connections
//	mark (mangle output): ct status ! dnat meta mark set ip daddr map @others4
//	                      ct status ! dnat meta l4proto tcp meta mark set ip daddr map @streams4
//	local (route output): meta mark & 0xff000000 == 0x77000000 fib daddr type local meta mark set 0
//
// The last is for a task that asks its own service and is picked itself: IPVS changes the address of such a packet and not its way, which leads to
// the network still. The change of the mark has it routed again.
//
// Connections that nftables translated before, as with another --balancer, go on as they were; the nat chain keeps translation itself
// on. What IPVS knows already finds its way without a mark.
func markTable(m marked) nft.Table {
	t := nft.Table{Family: nft.INet, Name: vipTable}
	mark := nft.Chain{Name: "mark", Base: base("filter", unix.NF_INET_LOCAL_OUT, priorityMangle)}
	out := nft.Chain{Name: "output", Base: base("nat", unix.NF_INET_LOCAL_OUT, priorityDstNAT)}
	local := nft.Chain{Name: "local", Base: base("route", unix.NF_INET_LOCAL_OUT, priorityAfterIPVS), Rules: []nft.Rule{
		nft.R(nft.INet, nft.MarkIs(markOurs, markMask), nft.DaddrLocal(), nft.ClearMark()),
	}}
	refuse := nft.Chain{Name: "refuse", Base: base("filter", unix.NF_INET_LOCAL_OUT, priorityFilter)}
	for _, v6 := range families {
		s := suffix(v6)
		others := nft.Set{Name: "others" + s, Key: typeAddr(v6), Data: nft.TypeMark, HostOrder: true, Elems: map[string]string{}}
		streams := nft.Set{Name: "streams" + s, Key: typeAddr(v6), Data: nft.TypeMark, HostOrder: true, Elems: map[string]string{}}
		pinged := nft.Set{Name: "pinged" + s, Key: typeAddr(v6), Data: typeAddr(v6), Elems: map[string]string{}}
		refused := refusedSet(m.vips, v6)
		for _, v := range m.vips {
			if v.Addr.Is6() != v6 || len(v.Backends) == 0 {
				continue
			}
			key := keyAddr(v.Addr)
			others.Elems[key] = keyNative(m.marks[v.Addr])
			streams.Elems[key] = keyNative(m.marks[v.Addr] | markStream)
			pinged.Elems[key] = keyAddr(v.Backends[0])
		}
		to := nft.MarkMap(others.Name, nft.FieldDaddr(v6))
		mark.Rules = append(mark.Rules, nft.R(nft.INet, nft.NFProto(v6), nft.CTNotDNAT(), to))
		to = nft.MarkMap(streams.Name, nft.FieldDaddr(v6))
		for _, proto := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_SCTP} {
			mark.Rules = append(mark.Rules, nft.R(nft.INet, nft.NFProto(v6), nft.CTNotDNAT(), nft.L4Proto(proto), to))
		}
		ping := byte(unix.IPPROTO_ICMP)
		if v6 {
			ping = unix.IPPROTO_ICMPV6
		}
		out.Rules = append(out.Rules, nft.R(nft.INet, nft.NFProto(v6), nft.L4Proto(ping), nft.DNATMap(v6, false, pinged.Name, nft.FieldDaddr(v6))))
		refuse.Rules = append(refuse.Rules, refuseRules(refused.Name, v6)...)
		t.Sets = append(t.Sets, others, streams, pinged, refused)
	}
	t.Chains = []nft.Chain{mark, out, local, refuse}
	return t
}

// hiddenProto is what IPVS must not see in the header: with this bit, protocols are none that it balances.
const hiddenProto = 0x40

// hideTable keeps IPVS from what is not its own in the fabric:
//
//	hide (forward, before IPVS):  meta mark & 0x10000 == 0x10000 ip protocol set ip protocol ^ 0x40
//	show (postrouting, first):    the same, which undoes it
//
// IPVS knows an answer by its addresses and ports alone. A client may use one port to this node and to another, and both connections may end at
// the same task, here: the answers to the other node's, which are marked (see fabricTables), look the same, and IPVS would translate them to this node's
// address.
func hideTable() nft.Table {
	t := nft.Table{Family: nft.INet, Name: balancerTable}
	hide := nft.Chain{Name: "hide", Base: base("filter", unix.NF_INET_FORWARD, priorityBeforeIPVS)}
	show := nft.Chain{Name: "show", Base: base("filter", unix.NF_INET_POST_ROUTING, priorityRaw)}
	for _, v6 := range families {
		r := nft.R(nft.INet, nft.NFProto(v6), nft.MarkIs(markBit, markBit), nft.FlipProto(v6, hiddenProto))
		hide.Rules, show.Rules = append(hide.Rules, r), append(show.Rules, r)
	}
	t.Chains = []nft.Chain{hide, show}
	return t
}
