// Package trace follows a packet's way from a sandbox of this node to a name, an address or a published port, a step at a time: what should
// be, from what the node knows of its networks, and what is, from what a Prober sees. It ends at the step that fails and says why. It is
// pure but for the Prober; package trace/kernel is the real one.
package trace

import (
	"context"
	"net/netip"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/dns/records"
	"github.com/swarmnet/swarmnet/gossip"
)

// Verdict says how a step went.
type Verdict string

const (
	OK     Verdict = "ok"
	Note   Verdict = "note"   // odd, but the way goes on
	Failed Verdict = "failed" // the way ends here
)

// Step is one step of the way.
type Step struct {
	Step    string // "from", "name", "vip", "port", "endpoint", "node", "vtep", "probe"
	Verdict Verdict
	Found   string
	Why     string // of what is not ok
}

// Input is what is known, and what is asked.
type Input struct {
	// Set is everything that the node runs and knows, its own networks and sandboxes included.
	Set  swarmnet.AssignmentSet
	View gossip.View
	// Shared are the sandboxes that use another's network stack, Host those that use the host's.
	Shared map[swarmnet.TaskID]swarmnet.TaskID
	Host   map[swarmnet.TaskID]bool
	// Elsewhere says what the managers know of a name that is unknown here; nil where this node is none. Empty: nothing.
	Elsewhere func(name string) string
	From      string // name, id, or the beginning of an id
	To        string // NAME, ADDRESS, :PORT; with a port or without
}

// Forwarding is what the fabric has for a remote endpoint.
type Forwarding struct {
	MAC  swarmnet.MAC // of its neighbour entry; zero: there is none
	VTEP netip.Addr   // of its forwarding entry; zero: there is none
}

// Prober looks and tries. Errors of Dial are told apart by Refused.
type Prober interface {
	// Resolve asks the sandbox's own resolver. No address and no error: the name is known and has none; ErrNoName: nobody knows it.
	Resolve(ctx context.Context, from swarmnet.TaskID, name string) ([]netip.Addr, error)
	// Forwarding reads what a network's devices in the fabric have for an address or, where that is missing, a MAC.
	Forwarding(vni swarmnet.VNI, mac swarmnet.MAC, addr netip.Addr) (Forwarding, error)
	// Dial opens a TCP connection from inside the sandbox and closes it. It returns in words how long it took.
	Dial(ctx context.Context, from swarmnet.TaskID, to netip.AddrPort) (took string, err error)
}

type probeError string

func (e probeError) Error() string { return string(e) }

// What a Prober's errors may be.
const (
	ErrNoName  = probeError("no such name")
	ErrRefused = probeError("connection refused")
	ErrSilent  = probeError("no answer")
)

// Run follows the way and hands every step to emit as soon as it is known. Errors are those of emit.
func Run(ctx context.Context, in Input, p Prober, emit func(Step) error) error {
	t := &tracer{ctx: ctx, in: in, set: in.Set, probe: p, emit: emit, names: records.Compute(in.Set, in.View)}
	t.run()
	return t.err
}

type tracer struct {
	ctx   context.Context
	in    Input
	set   swarmnet.AssignmentSet
	probe Prober
	names *records.Records
	emit  func(Step) error
	err   error

	from     swarmnet.Task // where the way begins
	stack    swarmnet.TaskID
	networks []swarmnet.NetworkID // that the stack is on, in the resolver's order
	port     uint16               // asked for; 0: none
	doubt    string               // why the node on the way may be gone
}

// say hands out a step and reports whether the way goes on.
func (t *tracer) say(step string, v Verdict, found, why string) bool {
	if t.err == nil {
		t.err = t.emit(Step{step, v, found, why})
	}
	return t.err == nil && v != Failed
}

func (t *tracer) ok(step, found string) bool        { return t.say(step, OK, found, "") }
func (t *tracer) note(step, found, why string) bool { return t.say(step, Note, found, why) }
func (t *tracer) fail(step, found, why string) bool { return t.say(step, Failed, found, why) }

func (t *tracer) run() {
	if !t.start() {
		return
	}
	host, port, err := parseTarget(t.in.To)
	if err != nil {
		t.fail("to", t.in.To, err.Error())
		return
	}
	t.port = port
	addr, err := netip.ParseAddr(host)
	switch {
	case host == "":
		t.published(netip.Addr{})
	case err == nil && t.ofNode(addr.Unmap()):
		t.published(addr.Unmap())
	case err == nil:
		t.address(addr.Unmap())
	default:
		t.name(host)
	}
}
