// Package doctor judges what was seen of a host: whether anything would keep its networks from working, and what to do about it. It is
// pure; package doctor/kernel looks.
package doctor

import (
	"net/netip"
	"time"
)

// Verdict says how bad a finding is.
type Verdict string

const (
	OK    Verdict = "ok"
	Note  Verdict = "note"  // worth knowing, or could not be seen
	Wrong Verdict = "wrong" // networks do not work as they should
)

// Finding is the outcome of one check.
type Finding struct {
	Check   string // what was looked at, one word
	Verdict Verdict
	Found   string
	Cure    string // empty when there is nothing to do
}

// Facts are what was seen of a host. Zero values mean that something was not looked at.
type Facts struct {
	Now time.Time
	// Daemon is why the daemon does not answer; empty when it does.
	Daemon string
	// Member says that the node is in a cluster.
	Member   bool
	Features []Feature
	// Forward and Forward6 are what ip_forward and IPv6 forwarding are set to, "0" or "1", or empty where there is no such thing; NeedsIPv6 says that a network has IPv6.
	Forward, Forward6 string
	NeedsIPv6         bool
	// IdleTCP is for how long the host remembers a TCP connection on which nothing is sent; 0: unknown.
	IdleTCP time.Duration
	// HostLink is the host's end of the way into the fabric.
	HostLink string
	// Chains are the base chains of others on the hook that forwarded packets pass, with what they jump to.
	Chains []Chain
	// LegacyTables are the tables of the old iptables, which cannot be read here.
	LegacyTables []string
	VXLAN        Port
	// Balancer is what balances on this node and Why what decided that, or what would balance if the daemon ran; empty: unknown.
	Balancer, BalancerWhy string
	// Degraded says of each published port that this node cannot publish who has it.
	Degraded []string
	// Refused counts, by sandbox, the queries for names that its resolver refused, since more than its share were under way.
	Refused  map[string]uint64
	Underlay Device
	// BridgeNF are the br_netfilter settings that are on, in the host's namespace; FabricNF those in the fabric, where our bridges are.
	// Without a fabric yet, HasFabric is false.
	BridgeNF, FabricNF []string
	HasFabric          bool
	Clock              Clock
	Cert               *Cert
	Managers           []Path
	Nodes              []Path
	// Unseen is what could not be looked at: check and reason.
	Unseen []Finding
}

// Feature is something that the kernel must be able to do.
type Feature struct {
	Name string
	Err  string // why it is not there; empty: it is
	Cure string
	// Spares says what there is not without it where networks work all the same; empty: they do not.
	Spares string
}

// Port is the UDP port of VXLAN traffic.
type Port struct {
	Number uint16
	Ours   bool   // our own device has it
	Holder string // who else has it; empty: nobody
}

// Device is the device that holds the data path address.
type Device struct {
	Name string
	Addr netip.Addr
	MTU  int // octets
	// Err says why there is none.
	Err string
}

// Clock is what the kernel says of its clock.
type Clock struct {
	Known, Synchronised bool
}

// Cert is the node's certificate.
type Cert struct {
	NotBefore, NotAfter time.Time
	Err                 string // why it cannot be read
}

// Path is the way to another node.
type Path struct {
	Name string
	Addr string
	// Err is why it does not work; empty: it does.
	Err string
	// Remark is what is odd about a way that works.
	Remark string
	// Route is what the host's route takes, Arrives how much of that gets through, in octets; 0: it was not tried, or nothing was answered.
	Route, Arrives int
	// Told is how much the other node says that it can send and receive, in octets; 0: it has not said.
	Told int
}

// Examine returns the outcome of every check, in their order.
func Examine(f Facts) []Finding {
	var out []Finding
	for _, check := range []func(Facts) []Finding{
		daemon, features, balancer, forwarding, idleConnections, firewall, vxlanPort, publishedPorts, queries, underlay, bridgeNetfilter, clock, certificate, managers, nodes, pathMTU,
	} {
		out = append(out, check(f)...)
	}
	for _, u := range f.Unseen {
		u.Verdict = Note
		out = append(out, u)
	}
	return out
}

// AnyWrong reports whether a finding says that something is wrong.
func AnyWrong(fs []Finding) bool {
	for _, f := range fs {
		if f.Verdict == Wrong {
			return true
		}
	}
	return false
}
