package kernel

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/ingress/kernel/ipvs"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nft"
)

// Names of the balancer's tables, in the fabric and in sandboxes.
const (
	balancerTable = "swarmnet_balancer"
	vipTable      = "swarmnet_vip"
)

// maxMemos bounds what is remembered of sandboxes: beyond it all is forgotten, which costs one dump each.
const maxMemos = 4096

// NFTables is the Balancer of kernels without IPVS. All services share one map: there is no rule per service, but one per number
// of backends, and adding a task adds one element:
//
//	map services4 { type inet_proto . inet_service : verdict }                        { tcp . 8080 : jump pick3v4 }
//	map backends4 { type inet_proto . inet_service . mark : ipv4_addr . inet_service }  { tcp . 8080 . 0 : 10.0.1.2 . 80, … }
//	chain pick3v4 { dnat ip to meta l4proto . th dport . numgen random mod 3 map @backends4 }
//	chain prerouting { … vmap @services4; … dnat ip to meta l4proto . th dport . 0 map @backends4 }
//
// A transaction is not one moment for a packet under way: which rules it goes by was settled when it came, what is in a map counts when that is
// looked up. So one that comes while the number of backends changes may be sent to a chain that is new and has no rule for it yet, or pick a backend that
// has just gone. Then it gets the first one, which is there as long as there is any.
type NFTables struct {
	clocks *nft.Clocks

	mu    sync.Mutex
	ports map[string]*made[balanced] // by namespace path
	vips  map[string]*made[ingress.VIPs]
	clean map[string]bool // by namespace path: nothing of IPVS's is left there
}

// balanced is what the ports' table is made from.
type balanced struct {
	addrs []netip.Addr
	ports []ingress.Port
}

// NewNFTables returns the balancer. The clocks are shared with those who have tables of ours in the same namespaces; nil: with nobody.
func NewNFTables(clocks *nft.Clocks) *NFTables {
	if clocks == nil {
		clocks = &nft.Clocks{}
	}
	return &NFTables{clocks: clocks, clean: map[string]bool{}, ports: map[string]*made[balanced]{}, vips: map[string]*made[ingress.VIPs]{}}
}

// Name implements Balancer.
func (n *NFTables) Name() string { return "nft" }

// Told implements Balancer.
func (n *NFTables) Told() bool { return true }

// Ports implements Balancer.
func (n *NFTables) Ports(ctx context.Context, ns string, addrs []netip.Addr, ports []ingress.Port) (int, error) {
	changes, err := ensureIn(ctx, n, withKept, n.ports, ns, balanced{addrs, ports}, restrictBalanced, func(b balanced) []nft.Table {
		return []nft.Table{portTable(b.addrs, b.ports)}
	})
	if err != nil {
		return changes, err
	}
	retired, err := n.retire(ctx, ns, oursInFabric(addrs))
	return changes + retired, err
}

func restrictBalanced(a, b balanced) (balanced, balanced) {
	a.ports, b.ports = restrictPorts(a.ports, b.ports)
	return a, b
}

// VIPs implements Balancer. A sandbox that never had any gets no table: its connections need not be tracked.
func (n *NFTables) VIPs(ctx context.Context, ns string, vips ingress.VIPs) (int, error) {
	if len(vips) == 0 {
		if there, err := n.hasVIPTable(ns); err != nil || !there {
			return 0, err
		}
	}
	changes, err := ensureIn(ctx, n, withClocks, n.vips, ns, vips, restrictVIPs, func(v ingress.VIPs) []nft.Table { return []nft.Table{vipsTable(v)} })
	if err != nil {
		return changes, err
	}
	retired, err := n.retire(ctx, ns, oursInSandbox)
	return changes + retired, err
}

func (n *NFTables) hasVIPTable(ns string) (there bool, err error) {
	err = withClocks(ns, n.clocks, func(c *nft.Conn) error {
		have, err := c.Observe(nft.INet, vipTable)
		there = have != nil
		return err
	})
	return there, err
}

// RemovePorts implements Balancer.
func (n *NFTables) RemovePorts(ctx context.Context, ns string, addrs []netip.Addr) error {
	if err := withNFT(ns, func(c *nft.Conn) error { return c.Remove(nft.INet, balancerTable) }); err != nil {
		return err
	}
	return removeServices(ctx, ns, oursInFabric(addrs))
}

// retire sees to what IPVS did in a namespace before, until nothing of it is left.
func (n *NFTables) retire(ctx context.Context, ns string, ours func(ipvs.Key) bool) (int, error) {
	n.mu.Lock()
	clean := n.clean[ns] || !ipvs.Loaded()
	n.mu.Unlock()
	if clean {
		return 0, nil
	}
	changes, clean, err := retire(ctx, ns, ours)
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.clean) >= maxMemos {
		clear(n.clean)
	}
	n.clean[ns] = clean
	return changes, err
}

// ensureIn makes the tables of a namespace out of a wish. Each namespace is used by one goroutine at a time.
func ensureIn[T any](ctx context.Context, n *NFTables, with withConn, all map[string]*made[T], ns string, want T, restrict func(a, b T) (T, T), build func(T) []nft.Table) (changes int, err error) {
	n.mu.Lock()
	m := all[ns]
	if m == nil {
		if len(all) >= maxMemos {
			clear(all)
		}
		m = &made[T]{}
		all[ns] = m
	}
	n.mu.Unlock()
	err = with(ns, n.clocks, func(c *nft.Conn) error {
		changes, err = m.ensure(ctx, c, want, restrict, build)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) { // no namespace
		n.mu.Lock()
		delete(all, ns)
		n.mu.Unlock()
	}
	return changes, err
}

// withNFT runs fn with a connection to the nftables of a namespace.
func withNFT(path string, fn func(*nft.Conn) error) error {
	return withClocks(path, &nft.Clocks{}, fn)
}

// withConn is withClocks or withKept.
type withConn func(path string, clocks *nft.Clocks, fn func(*nft.Conn) error) error

func withClocks(path string, clocks *nft.Clocks, fn func(*nft.Conn) error) error {
	return inNamespace(path, func(ns *netns.Handle) error {
		c, err := nft.OpenWith(ns, clocks)
		if err != nil {
			return err
		}
		defer c.Close()
		return fn(c)
	})
}

// withKept is withClocks for a namespace that outlasts the daemon: see nft.Clocks.With.
func withKept(path string, clocks *nft.Clocks, fn func(*nft.Conn) error) error {
	return inNamespace(path, func(ns *netns.Handle) error { return clocks.With(ns, fn) })
}

func inNamespace(path string, fn func(*netns.Handle) error) error {
	open := netns.Current
	if path != "" {
		open = func() (*netns.Handle, error) { return netns.Open(path) }
	}
	ns, err := open()
	if err != nil {
		return err
	}
	defer ns.Close()
	return fn(ns)
}

// picks makes the chains that pick one of n, once for each n.
type picks struct {
	v6     bool
	prefix string // of the chains' names
	made   map[int]nft.Chain
	dnat   func(n int) nft.Part // to one of the first n backends
}

// first leads to the first backend, if there is one.
func (p *picks) first() nft.Part { return p.dnat(1) }

func (p *picks) of(n int) string {
	name := p.prefix + "pick" + strconv.Itoa(n) + "v" + suffix(p.v6)
	if _, ok := p.made[n]; !ok {
		p.made[n] = nft.Chain{Name: name, Rules: []nft.Rule{nft.R(nft.INet, p.dnat(n))}}
	}
	return name
}

func (p *picks) chains() []nft.Chain {
	var out []nft.Chain
	for _, c := range p.made {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b nft.Chain) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func portTable(addrs []netip.Addr, ports []ingress.Port) nft.Table {
	t := nft.Table{Family: nft.INet, Name: balancerTable}
	pre := nft.Chain{Name: "prerouting", Base: base("nat", unix.NF_INET_PRE_ROUTING, priorityDstNAT)}
	var chains []nft.Chain
	for _, addr := range addrs {
		v6 := addr.Is6()
		services := nft.Set{Name: "services" + suffix(v6), Key: nft.Concat(nft.TypeProto, nft.TypePort), Verdict: true, Elems: map[string]string{}}
		backends := nft.Set{Name: "backends" + suffix(v6), Key: nft.Concat(nft.TypeProto, nft.TypePort, nft.TypeMark),
			Data: nft.Concat(typeAddr(v6), nft.TypePort), Elems: map[string]string{}}
		p := picks{v6: v6, made: map[int]nft.Chain{}, dnat: func(n int) nft.Part {
			return nft.DNATMap(v6, true, backends.Name, nft.FieldProto, nft.FieldPort, nft.FieldRandom(uint32(n)))
		}}
		for _, port := range ports {
			list := ofFamily(port.Backends, v6)
			if len(list) == 0 {
				continue // the host refuses it, and the fabric has no socket on it
			}
			key := keyProto(port.Protocol) + keyPort(port.Published)
			services.Elems[key] = p.of(len(list))
			for i, b := range list {
				backends.Elems[key+keySlot(i)] = keyAddr(b.Addr) + dataPort(b.Port)
			}
		}
		pre.Rules = append(pre.Rules, nft.R(nft.INet, nft.NFProto(v6), nft.Daddr(addr.AsSlice()), nft.CTNew(), // see vipsTable
			nft.Jump(services.Name, nft.FieldProto, nft.FieldPort)),
			nft.R(nft.INet, nft.NFProto(v6), nft.Daddr(addr.AsSlice()), nft.CTNew(), p.first()))
		t.Sets = append(t.Sets, backends, services)
		chains = append(chains, p.chains()...)
	}
	t.Chains = append([]nft.Chain{pre}, chains...)
	return t
}

// vipsTable balances by address alone, so that all protocols and ports reach the same service:
//
//	map vips4 { type ipv4_addr : verdict }              { 10.0.1.9 : jump pick2v4 }
//	map backends4 { type ipv4_addr . mark : ipv4_addr }  { 10.0.1.9 . 0 : 10.0.1.2, 10.0.1.9 . 1 : 10.0.1.3 }
//	set refused4 { type ipv4_addr }                      virtual addresses with nothing behind them
//
// All rules are in the one chain of type nat, that a connection's first packet alone passes. Those that ask for the state of the connection stand
// there whatever is balanced. They keep connection tracking on: the kernel tracks in a namespace only while a rule needs it, and when the last dnat
// rule went (all tasks drain), so would the translation of the connections that are still established.
func vipsTable(vips ingress.VIPs) nft.Table {
	t := nft.Table{Family: nft.INet, Name: vipTable}
	out := nft.Chain{Name: "output", Base: base("nat", unix.NF_INET_LOCAL_OUT, priorityDstNAT)}
	var chains []nft.Chain
	for _, v6 := range families {
		services := nft.Set{Name: "vips" + suffix(v6), Key: typeAddr(v6), Verdict: true, Elems: map[string]string{}}
		backends := nft.Set{Name: "backends" + suffix(v6), Key: nft.Concat(typeAddr(v6), nft.TypeMark), Data: typeAddr(v6), Elems: map[string]string{}}
		refused := refusedSet(vips, v6)
		p := picks{v6: v6, made: map[int]nft.Chain{}, dnat: func(n int) nft.Part {
			return nft.DNATMap(v6, false, backends.Name, nft.FieldDaddr(v6), nft.FieldRandom(uint32(n)))
		}}
		for _, v := range vips {
			if v.Addr.Is6() != v6 || len(v.Backends) == 0 {
				continue
			}
			services.Elems[keyAddr(v.Addr)] = p.of(len(v.Backends))
			for i, b := range v.Backends {
				backends.Elems[keyAddr(v.Addr)+keySlot(i)] = keyAddr(b)
			}
		}
		out.Rules = append(out.Rules, nft.R(nft.INet, nft.NFProto(v6), nft.Jump(services.Name, nft.FieldDaddr(v6))),
			nft.R(nft.INet, nft.NFProto(v6), p.first()))
		out.Rules = append(out.Rules, refuseRules(refused.Name, v6)...)
		t.Sets = append(t.Sets, backends, services, refused)
		chains = append(chains, p.chains()...)
	}
	t.Chains = append([]nft.Chain{out}, chains...)
	return t
}

func refusedSet(vips ingress.VIPs, v6 bool) nft.Set {
	s := nft.Set{Name: "refused" + suffix(v6), Key: typeAddr(v6), Elems: map[string]string{}}
	for _, v := range vips {
		if v.Addr.Is6() == v6 && len(v.Backends) == 0 {
			s.Elems[keyAddr(v.Addr)] = ""
		}
	}
	return s
}

// refuseRules refuse new connections to virtual addresses with nothing behind them.
func refuseRules(set string, v6 bool) []nft.Rule {
	return []nft.Rule{
		nft.R(nft.INet, nft.NFProto(v6), nft.CTNew(), nft.L4Proto(unix.IPPROTO_TCP), nft.In(set, nft.FieldDaddr(v6)), nft.RejectTCP()),
		nft.R(nft.INet, nft.NFProto(v6), nft.CTNew(), nft.In(set, nft.FieldDaddr(v6)), nft.Reject()),
	}
}
