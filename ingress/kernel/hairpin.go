package kernel

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/nft"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/overlay"
)

// hairpinName is that of the table in the fabric for sandboxes that ask this node's published ports.
const hairpinName = "swarmnet_hairpin"

// hairpinTable answers, in the fabric itself, the sandboxes that ask for a published port by an address of their own host. The long way, out to
// the host and back, would show the task the fabric's address instead of the client's:
//
//	set host4 { type ipv4_addr }                                       the host's addresses, and the gateways of its own networks
//	map services4 { type inet_proto . inet_service : verdict }         ports on all of them
//	map services4_at { type inet_proto . inet_service . ipv4_addr : verdict }  ports on one
//	map backends4, backends4_at { KEY . mark : ipv4_addr . inet_service }
//	set direct4 { type ifname . ipv4_addr }                            networks and the tasks on them
//	prerouting:  iifname uplink accept                                 not from a sandbox
//	             ct state new ip daddr @host4 meta l4proto . th dport vmap @services4
//	             ct state new meta l4proto . th dport . ip daddr vmap @services4_at
//	postrouting: ct status dnat iifname . ip daddr @direct4 masquerade
//
// A task that is itself on the client's network would answer it directly, and from an address that was not asked. Only such a client is seen under
// the address of the fabric, the client that is the task itself too.
func hairpinTable(uplink string, m ingress.Mesh, ports []ingress.Port, host []netip.Addr) nft.Table {
	t := nft.Table{Family: nft.INet, Name: hairpinName}
	pre := nft.Chain{Name: "prerouting", Base: base("nat", unix.NF_INET_PRE_ROUTING, priorityDstNAT), Rules: []nft.Rule{
		nft.R(nft.INet, nft.IIFName(uplink), nft.Accept()),
	}}
	post := nft.Chain{Name: "postrouting", Base: base("nat", unix.NF_INET_POST_ROUTING, prioritySrcNAT)}
	var chains []nft.Chain
	for _, v6 := range families {
		s := suffix(v6)
		at := nft.Concat(nft.TypeProto, nft.TypePort, typeAddr(v6))
		own := nft.Set{Name: "host" + s, Key: typeAddr(v6), Elems: map[string]string{}}
		services := nft.Set{Name: "services" + s, Key: nft.Concat(nft.TypeProto, nft.TypePort), Verdict: true, Elems: map[string]string{}}
		servicesAt := nft.Set{Name: services.Name + "_at", Key: at, Verdict: true, Elems: map[string]string{}}
		data := nft.Concat(typeAddr(v6), nft.TypePort)
		backends := nft.Set{Name: "backends" + s, Key: nft.Concat(nft.TypeProto, nft.TypePort, nft.TypeMark), Data: data, Elems: map[string]string{}}
		backendsAt := nft.Set{Name: backends.Name + "_at", Key: nft.Concat(nft.TypeProto, nft.TypePort, typeAddr(v6), nft.TypeMark), Data: data, Elems: map[string]string{}}
		direct := nft.Set{Name: "direct" + s, Key: nft.Concat(nft.TypeIface, typeAddr(v6)), Elems: map[string]string{}}
		for _, a := range host {
			if a.Is6() == v6 {
				own.Elems[keyAddr(a)] = ""
			}
		}
		for _, d := range m.Direct {
			if d.Addr.Is6() == v6 {
				direct.Elems[nft.KeyIface(overlay.BridgeName(d.VNI))+keyAddr(d.Addr)] = ""
			}
		}
		any := picks{v6: v6, made: map[int]nft.Chain{}, dnat: func(n int) nft.Part {
			return nft.DNATMap(v6, true, backends.Name, nft.FieldProto, nft.FieldPort, nft.FieldRandom(uint32(n)))
		}}
		one := picks{v6: v6, made: map[int]nft.Chain{}, prefix: "at", dnat: func(n int) nft.Part {
			return nft.DNATMap(v6, true, backendsAt.Name, nft.FieldProto, nft.FieldPort, nft.FieldDaddr(v6), nft.FieldRandom(uint32(n)))
		}}
		for _, p := range ports {
			list, key := ofFamily(p.Backends, v6), keyProto(p.Protocol)+keyPort(p.Published)
			service, backend, pick := services, backends, &any
			if p.HostIP.IsValid() {
				service, backend, pick, key = servicesAt, backendsAt, &one, key+keyAddr(p.HostIP)
			}
			if len(list) == 0 || p.HostIP.IsValid() && p.HostIP.Is6() != v6 {
				continue // the host refuses it
			}
			service.Elems[key] = pick.of(len(list))
			for i, b := range list {
				backend.Elems[key+keySlot(i)] = keyAddr(b.Addr) + dataPort(b.Port)
			}
		}
		pre.Rules = append(pre.Rules,
			nft.R(nft.INet, nft.NFProto(v6), nft.CTNew(), nft.In(own.Name, nft.FieldDaddr(v6)), nft.Jump(services.Name, nft.FieldProto, nft.FieldPort)),
			nft.R(nft.INet, nft.NFProto(v6), nft.CTNew(), nft.In(own.Name, nft.FieldDaddr(v6)), any.first()), // see NFTables
			nft.R(nft.INet, nft.NFProto(v6), nft.CTNew(), nft.Jump(servicesAt.Name, nft.FieldProto, nft.FieldPort, nft.FieldDaddr(v6))),
			nft.R(nft.INet, nft.NFProto(v6), nft.CTNew(), one.first()))
		post.Rules = append(post.Rules, nft.R(nft.INet, nft.NFProto(v6), nft.CTDNAT(), nft.In(direct.Name, nft.FieldIIFName, nft.FieldDaddr(v6)), nft.Masquerade()))
		t.Sets = append(t.Sets, own, direct, backends, backendsAt, services, servicesAt)
		chains = append(chains, append(any.chains(), one.chains()...)...)
	}
	t.Chains = append([]nft.Chain{pre, post}, chains...)
	return t
}

// hostAddrs are the addresses by which the host can be asked from its sandboxes: all of its devices' but the loopback ones, and the gateways of
// its own networks.
func hostAddrs(cfg Config, m ingress.Mesh) ([]netip.Addr, error) {
	c, err := nl.Open(cfg.HostNS)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	prefixes, err := c.Addrs(0)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(m.Gateways)
	for _, p := range prefixes {
		if a := p.Addr(); !a.IsLoopback() && !a.IsMulticast() {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out), nil
}

// staleHairpin says which flows of sandboxes to the host's addresses lead nowhere: to tasks that are gone or, for UDP, on dead nodes; and UDP flows
// that began before the port was published, and go past it.
func staleHairpin(m ingress.Mesh, ports []ingress.Port, host []netip.Addr) func(nl.Flow) bool {
	at := make(map[netip.Addr]bool, len(host))
	for _, a := range host {
		at[a] = true
	}
	tasks := tasksByAddr(m)
	udp := map[netip.AddrPort]bool{} // the zero address: all
	for _, p := range ports {
		if p.Protocol == swarmnet.UDP && len(p.Backends) > 0 {
			udp[netip.AddrPortFrom(p.HostIP, p.Published)] = true
		}
	}
	return func(f nl.Flow) bool {
		switch {
		case !at[f.Dst.Addr()]:
			return false
		case !f.Translated():
			return f.Proto == unix.IPPROTO_UDP && (udp[f.Dst] || udp[netip.AddrPortFrom(netip.Addr{}, f.Dst.Port())])
		}
		t, known := tasks()[f.ReplySrc.Addr()]
		return !known || t.Lost && f.Proto == unix.IPPROTO_UDP
	}
}
