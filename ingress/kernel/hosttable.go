package kernel

import (
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/nft"
)

// tableName is that of our tables in the host and the fabric.
const tableName = "swarmnet_ingress"

// Priorities of chains (linux/netfilter_ipv4.h).
const (
	priorityRaw    = -300
	priorityMangle = -150
	priorityDstNAT = -100
	priorityFilter = 0
	prioritySrcNAT = 100
)

// Priorities of chains beside IPVS's own (ip_vs_ops4 in net/netfilter/ipvs/ip_vs_core.c): just after it balanced what the namespace itself sends,
// and before it looks for answers among what is forwarded.
const (
	priorityAfterIPVS  = priorityDstNAT + 3
	priorityBeforeIPVS = prioritySrcNAT - 2
)

func base(kind string, hook uint32, priority int32) *nft.Base {
	return &nft.Base{Type: kind, Hook: hook, Priority: priority}
}

// hostTable sends published ports to the fabric:
//
//	set published4 { type inet_proto . inet_service }              ports with something behind them
//	map published4_at { type inet_proto . inet_service . ipv4_addr : inet_service }  those of one host address only, and what they are called in the fabric
//	set held { … }, held4_at { … }                                 all ports, so that they refuse and never reach the held socket
//	prerouting, output: meta l4proto . th dport @published4 fib daddr type local dnat ip to 169.254.77.2
//	                    dnat ip to 169.254.77.2 : meta l4proto . th dport . ip daddr map @published4_at
//
// What the host itself sends to 127.0.0.1 or ::1 leaves it with a loopback address, which route_localnet on the link (for ::1 a local route by it, see
// overlay/kernel) allows and the source rewrite turns into an address that answers can come back to. Nothing else may come in with such a destination
// over the link: IPv6 sees to that itself. It is dropped before anybody's rules lead it elsewhere (first), and where it would be delivered (answers);
// so what is forwarded costs nothing:
//
//	first, before all nat: iifname swarmnet0 ip daddr 127.0.0.0/8 drop
//	input:                 iifname swarmnet0 ip daddr 127.0.0.0/8 goto answers
//	answers:               ct direction reply accept
//	                       drop
func hostTable(cfg Config, ports []ingress.Port, called map[PortKey]uint16) nft.Table {
	t := nft.Table{Family: nft.INet, Name: tableName}
	add := func(parts ...nft.Part) nft.Rule { return nft.R(nft.INet, parts...) }
	held := nft.Set{Name: "held", Key: nft.Concat(nft.TypeProto, nft.TypePort), Elems: map[string]string{}}
	toLoopback := []nft.Part{nft.IIFName(cfg.HostLink), nft.NFProto(false), nft.DaddrLoopback()}
	first := nft.Chain{Name: "first", Base: base("nat", unix.NF_INET_PRE_ROUTING, priorityMangle), Rules: []nft.Rule{
		add(append(toLoopback, nft.Drop())...),
	}}
	answers := nft.Chain{Name: "answers", Rules: []nft.Rule{add(nft.CTReply(), nft.Accept()), add(nft.Drop())}}
	pre := nft.Chain{Name: "prerouting", Base: base("nat", unix.NF_INET_PRE_ROUTING, priorityDstNAT)}
	out := nft.Chain{Name: "output", Base: base("nat", unix.NF_INET_LOCAL_OUT, priorityDstNAT)}
	in := nft.Chain{Name: "input", Base: base("filter", unix.NF_INET_LOCAL_IN, priorityFilter), Rules: []nft.Rule{
		add(append(toLoopback, nft.GotoChain(answers.Name))...),
		add(nft.CTNew(), nft.L4Proto(unix.IPPROTO_TCP), nft.In("held", nft.FieldProto, nft.FieldPort), nft.RejectTCP()),
		add(nft.CTNew(), nft.In("held", nft.FieldProto, nft.FieldPort), nft.Reject()),
	}}
	post := nft.Chain{Name: "postrouting", Base: base("nat", unix.NF_INET_POST_ROUTING, prioritySrcNAT), Rules: []nft.Rule{
		add(nft.OIFName(cfg.HostLink), nft.NFProto(false), nft.SaddrLoopback(), nft.Masquerade()),
		add(nft.OIFName(cfg.HostLink), nft.NFProto(true), nft.SaddrLoopback6(), nft.Masquerade()),
		// A task that asks its own node's published port: the fabric would not take a packet back that has its own address.
		add(nft.IIFName(cfg.HostLink), nft.OIFName(cfg.HostLink), nft.Masquerade()),
	}}
	for _, p := range ports {
		if !p.HostIP.IsValid() {
			held.Elems[keyProto(p.Protocol)+keyPort(p.Published)] = ""
		}
	}
	t.Sets = append(t.Sets, held)
	for _, v6 := range families {
		dst := cfg.fabricAddr(v6)
		pub := nft.Set{Name: "published" + suffix(v6), Key: nft.Concat(nft.TypeProto, nft.TypePort), Elems: map[string]string{}}
		pubAt := nft.Set{Name: pub.Name + "_at", Key: nft.Concat(nft.TypeProto, nft.TypePort, typeAddr(v6)), Data: nft.TypePort, Elems: map[string]string{}}
		heldAt := nft.Set{Name: "held" + suffix(v6) + "_at", Key: pubAt.Key, Elems: map[string]string{}}
		for _, p := range ports {
			key, some := keyProto(p.Protocol)+keyPort(p.Published), len(ofFamily(p.Backends, v6)) > 0
			switch {
			case !p.HostIP.IsValid():
				if some && dst.IsValid() {
					pub.Elems[key] = ""
				}
			case p.HostIP.Is6() == v6:
				heldAt.Elems[key+keyAddr(p.HostIP)] = ""
				if some && dst.IsValid() {
					pubAt.Elems[key+keyAddr(p.HostIP)] = dataPortAlone(called[keyOf(p)])
				}
			}
		}
		t.Sets = append(t.Sets, pub, pubAt, heldAt)
		at := []nft.Part{nft.InProtoPortDaddr(heldAt.Name, v6)}
		in.Rules = append(in.Rules,
			add(append([]nft.Part{nft.NFProto(v6), nft.CTNew(), nft.L4Proto(unix.IPPROTO_TCP)}, append(at, nft.RejectTCP())...)...),
			add(append([]nft.Part{nft.NFProto(v6), nft.CTNew()}, append(at, nft.Reject())...)...))
		if !dst.IsValid() {
			continue
		}
		for _, c := range []*nft.Chain{&pre, &out} {
			c.Rules = append(c.Rules,
				add(nft.NFProto(v6), nft.In(pub.Name, nft.FieldProto, nft.FieldPort), nft.DaddrLocal(), nft.DNAT(dst.AsSlice())),
				add(nft.NFProto(v6), nft.DNATPortMap(dst.AsSlice(), pubAt.Name, nft.FieldProto, nft.FieldPort, nft.FieldDaddr(v6))))
		}
	}
	t.Chains = []nft.Chain{first, pre, out, in, answers, post}
	return t
}
