package main

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nft"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// hand is what a person would build for the same way of a packet, and nothing else: two hosts, a router namespace on each, a transit network between
// the routers over VXLAN, and a task behind each router. Published ports lead from the first host to either task.
type hand struct{ s *stage }

const (
	handVNI  = 88
	handMark = 0x10000
	handBack = 88 // routing table
)

var (
	handHostEnd   = netip.MustParsePrefix("169.254.88.1/30")
	handRouterEnd = netip.MustParsePrefix("169.254.88.2/30")
	handTransit   = netip.MustParsePrefix("10.97.255.0/24")
	placeholder   = netip.MustParseAddr("169.254.89.1")
	placeholderHW = swarmnet.MAC{0x02, 0x45, 0, 0, 0, 9}
)

func (h hand) transit(i int) netip.Addr { return nth(handTransit, uint32(i)) }
func (h hand) app(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 97, byte(i), 1}), 24)
}
func (h hand) task(i int) netip.Addr { return nth(h.app(i), 2) }
func (h hand) router(i int) string   { return []string{"", "hr1", "hr2"}[i] }
func (h hand) taskNS(i int) string   { return []string{"", "ht1", "ht2"}[i] }

// build sets up node i, 1 or 2, on a host that is on the switch already.
func (h hand) build(host string, i int, local, remote netip.Addr) error {
	s, other := h.s, 3-i
	if err := errors.Join(s.namespace(h.router(i)), s.namespace(h.taskNS(i))); err != nil {
		return err
	}
	if err := s.in(host, func(c *nl.Conn) error {
		return s.in(h.router(i), func(r *nl.Conn) error { return h.links(c, r, i, local) })
	}); err != nil {
		return err
	}
	if err := s.plug(h.router(i), "app", h.taskNS(i), swarmnet.MAC{}, 1450, netip.PrefixFrom(h.task(i), 24)); err != nil {
		return err
	}
	if err := s.gateway(h.taskNS(i), h.app(i).Addr()); err != nil {
		return err
	}
	return errors.Join(h.ways(i, other, remote), h.hostRules(host), h.routerRules(i, other))
}

// links are the router's: to the host, to the tasks and to the other routers.
func (h hand) links(host, r *nl.Conn, i int, local netip.Addr) error {
	if err := errors.Join(
		host.AddVeth(1500, nl.Veth{Name: "router"}, nl.Veth{Name: "up", NS: r.NS()}),
		r.AddBridge("app", swarmnet.MAC{}, 1450),
		r.AddBridge("transit", swarmnet.MACFor(h.transit(i)), 1450),
		host.AddVXLAN("vx", 1450, nl.VXLAN{VNI: handVNI, Local: local, Port: 4790, Proxy: true}, r.NS()),
	); err != nil {
		return err
	}
	down, _, err1 := host.Link("router")
	up, _, err2 := r.Link("up")
	app, _, err3 := r.Link("app")
	transit, _, err4 := r.Link("transit")
	vx, _, err5 := r.Link("vx")
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	if err := errors.Join(host.AddAddr(down.Index, handHostEnd), r.AddAddr(up.Index, handRouterEnd), r.AddAddr(app.Index, h.app(i)),
		r.AddAddr(transit.Index, netip.PrefixFrom(h.transit(i), 24)), r.SetMaster(vx.Index, transit.Index), r.SetPortLearning(vx.Index, false)); err != nil {
		return err
	}
	for _, l := range []nl.Link{up, app, transit, vx} {
		if err := r.SetUp(l.Index); err != nil {
			return err
		}
	}
	sysctls := [][2]string{{"net/ipv4/ip_forward", "1"}, {"net/ipv4/conf/all/rp_filter", "0"}, {"net/ipv4/conf/default/rp_filter", "0"},
		{"net/bridge/bridge-nf-call-iptables", "0"}, {"net/bridge/bridge-nf-call-ip6tables", "0"}, {"net/bridge/bridge-nf-call-arptables", "0"}}
	for _, name := range []string{"up", "app", "transit"} {
		sysctls = append(sysctls, [2]string{"net/ipv4/conf/" + name + "/rp_filter", "0"})
	}
	return errors.Join(host.SetUp(down.Index), r.Sysctls(sysctls),
		host.ReplaceRoute(nl.Route{Dst: netip.MustParsePrefix("10.97.0.0/16"), Via: handRouterEnd.Addr(), Index: down.Index}), // for HAProxy
		host.Sysctls([][2]string{{"net/ipv4/ip_forward", "1"}, {"net/ipv4/conf/all/rp_filter", "0"}, {"net/ipv4/conf/router/rp_filter", "0"}}),
		r.ReplaceRoute(nl.Route{Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: handHostEnd.Addr(), Index: up.Index}))
}

// ways lead to the other node's task by its router, and back to the router that a connection came by.
func (h hand) ways(i, other int, remote netip.Addr) error {
	return h.s.in(h.router(i), func(r *nl.Conn) error {
		transit, _, err1 := r.Link("transit")
		vx, _, err2 := r.Link("vx")
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		mac := swarmnet.MACFor(h.transit(other))
		return errors.Join(
			r.SetNeighs([]nl.Neigh{
				{Index: vx.Index, MAC: mac, VTEP: remote}, {Index: vx.Index, MAC: mac}, {Index: vx.Index, MAC: placeholderHW},
				{Index: transit.Index, MAC: mac, Addr: h.transit(other)}, {Index: transit.Index, MAC: placeholderHW, Addr: placeholder},
			}),
			r.ReplaceRoute(nl.Route{Dst: netip.PrefixFrom(h.task(other), 32), Via: h.transit(other), Index: transit.Index}),
			r.ReplaceRoute(nl.Route{Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: placeholder, Index: transit.Index, Table: handBack, Onlink: true}),
			r.AddRule(nl.Rule{Priority: 1000, Mark: handMark, Mask: handMark, Table: handBack}))
	})
}

// Keys and data of maps, as the kernel has them; the types' numbers are nft(8)'s.
var (
	handMAC   = nft.Type{Magic: 9, Len: 6}
	handWord  = nft.Type{Magic: 19, Len: 4}
	protoPort = nft.Type{Magic: 12<<6 | 13, Len: 8}
	addrPort  = nft.Type{Magic: 7<<6 | 13, Len: 8}
)

func protoPortKey(port int) string {
	return "\x06\x00\x00\x00" + string(binary.BigEndian.AppendUint16(nil, uint16(port))) + "\x00\x00"
}

func word(v uint32) string { return string(binary.NativeEndian.AppendUint32(nil, v)) }

func macKey(m swarmnet.MAC) string { return string(m[:]) }

// handPorts are the published ports, and which task and which of its ports they lead to.
var handPorts = map[int][2]int{8001: {1, askPort}, 8002: {2, askPort}, 8101: {1, bulkPort}, 8102: {2, bulkPort}}

// hostRules send published ports to the router.
func (h hand) hostRules(host string) error {
	published := nft.Set{Name: "published", Key: protoPort, Elems: map[string]string{}}
	for port := range handPorts {
		published.Elems[protoPortKey(port)] = ""
	}
	rule := nft.R(nft.INet, nft.NFProto(false), nft.In("published", nft.FieldProto, nft.FieldPort), nft.DaddrLocal(), nft.DNAT(handRouterEnd.Addr().AsSlice()))
	loopback := nft.R(nft.INet, nft.OIFName("router"), nft.NFProto(false), nft.SaddrLoopback(), nft.Masquerade())
	return h.tables(host, nft.Table{Family: nft.INet, Name: "hand", Sets: []nft.Set{published}, Chains: []nft.Chain{
		{Name: "prerouting", Base: handChain("nat", unix.NF_INET_PRE_ROUTING, -100), Rules: []nft.Rule{rule}},
		{Name: "output", Base: handChain("nat", unix.NF_INET_LOCAL_OUT, -100), Rules: []nft.Rule{rule}},
		{Name: "postrouting", Base: handChain("nat", unix.NF_INET_POST_ROUTING, 100), Rules: []nft.Rule{loopback}},
	}})
}

func handChain(kind string, hook uint32, priority int32) *nft.Base {
	return &nft.Base{Type: kind, Hook: hook, Priority: priority}
}

// routerRules pick the task, note by which router a connection came, in its mark and in the zone that keeps one client port at two entries apart, and
// send its answers back there. What leaves is masqueraded.
func (h hand) routerRules(i, other int) error {
	tasks := nft.Set{Name: "tasks", Key: protoPort, Data: addrPort, Elems: map[string]string{}}
	for port, to := range handPorts {
		tasks.Elems[protoPortKey(port)] = string(h.task(to[0]).AsSlice()) + string(binary.BigEndian.AppendUint16(nil, uint16(to[1]))) + "\x00\x00"
	}
	mac, mark := macKey(swarmnet.MACFor(h.transit(other))), word(handMark|uint32(other))
	marks := nft.Set{Name: "marks", Key: handMAC, Data: handWord, HostOrder: true, Elems: map[string]string{mac: mark}}
	zones := nft.Set{Name: "zones", Key: handMAC, Data: nft.Type{Magic: 4, Len: 2}, HostOrder: true, Elems: map[string]string{
		mac: string(binary.NativeEndian.AppendUint16(nil, uint16(other))),
	}}
	entries := nft.Set{Name: "entries", Key: handWord, Data: handMAC, Elems: map[string]string{mark: mac}}
	return h.tables(h.router(i),
		nft.Table{Family: nft.INet, Name: "hand", Sets: []nft.Set{tasks, marks, zones}, Chains: []nft.Chain{
			{Name: "raw", Base: handChain("filter", unix.NF_INET_PRE_ROUTING, -300), Rules: []nft.Rule{
				nft.R(nft.INet, nft.IIFName("transit"), nft.CTOriginalZoneMap("zones", nft.FieldMAC)),
			}},
			{Name: "postrouting", Base: handChain("nat", unix.NF_INET_POST_ROUTING, 100), Rules: []nft.Rule{
				nft.R(nft.INet, nft.IIFName("app"), nft.OIFName("up"), nft.Masquerade()),
			}},
			{Name: "mangle", Base: handChain("filter", unix.NF_INET_PRE_ROUTING, -150), Rules: []nft.Rule{
				nft.R(nft.INet, nft.IIFName("transit"), nft.CTNew(), nft.CTMarkMap("marks", nft.FieldMAC)),
				nft.R(nft.INet, nft.CTReply(), nft.CTMarkHas(handMark), nft.MarkFromCT()),
			}},
			{Name: "prerouting", Base: handChain("nat", unix.NF_INET_PRE_ROUTING, -100), Rules: []nft.Rule{
				nft.R(nft.INet, nft.NFProto(false), nft.Daddr(handRouterEnd.Addr().AsSlice()), nft.DNATMap(false, true, "tasks", nft.FieldProto, nft.FieldPort)),
			}},
		}},
		nft.Table{Family: nft.Bridge, Name: "hand", Sets: []nft.Set{entries}, Chains: []nft.Chain{
			{Name: "output", Base: handChain("filter", unix.NF_INET_LOCAL_OUT, 0), Rules: []nft.Rule{
				nft.R(nft.Bridge, nft.OIFName("vx"), nft.EtherDaddrMap("entries", nft.FieldMark)),
				nft.R(nft.Bridge, nft.OIFName("vx"), nft.ClearMark()),
			}},
		}})
}

func (h hand) tables(name string, tables ...nft.Table) error {
	ns, err := netns.Open(h.s.path(name))
	if err != nil {
		return err
	}
	defer ns.Close()
	c, err := nft.Open(ns)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Ensure(context.Background(), &nft.Memo{}, tables...)
	return err
}
