package simulation

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
)

// World is a cluster and everything around it.
type World struct {
	clock
	nodes []*node
	byID  map[swarmnet.NodeID]*node
	group *group
	loss  float64 // of datagrams
	links [][]link
	// streams are the sessions' connections that one end at least has open.
	streams  []*stream
	ended    time.Duration // when a workload last did
	failures []string
	trace    []string // what was done, for a report
}

// link is how two nodes are connected.
type link struct {
	up    bool
	since time.Duration // of up
}

// node is a machine. What a power cut does not take is here, what a daemon's end takes is in its daemon.
type node struct {
	w       *World
	id      swarmnet.NodeID
	name    string
	at      int // in World.nodes
	side    int // of the cut: nodes of one side reach each other
	on      bool
	life    int // of its daemon: what was meant for an earlier life is void
	daemon  *daemon
	manager *manager // nil: a worker
	disk    swarmnet.AssignmentSet
	saved   bool // disk means something
	loads   map[swarmnet.TaskID]*workload
	kernel  kernel
}

// New makes a cluster of so many nodes, the first three of which are managers. It has an ingress network, and nothing else.
func New(seed uint64, nodes int) *World {
	w := &World{clock: clock{rnd: rand.New(rand.NewPCG(seed, 1))}, byID: map[swarmnet.NodeID]*node{}}
	w.links = make([][]link, nodes)
	for i := range nodes {
		w.links[i] = make([]link, nodes)
		name := fmt.Sprintf("n%d", i+1)
		n := &node{w: w, id: swarmnet.NodeID(swarmnet.DeriveID("node", name)), name: name, at: i, loads: map[swarmnet.TaskID]*workload{}}
		if i < 3 {
			n.manager = newManager(n)
		}
		w.nodes = append(w.nodes, n)
		w.byID[n.id] = n
	}
	w.group = newGroup(w)
	for _, n := range w.nodes {
		n.on = true
		n.start()
	}
	w.every(lookEvery, w.look)
	return w
}

func (w *World) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%8v ", w.now.Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

// fail notes what must not be.
func (w *World) fail(format string, args ...any) {
	if len(w.failures) < 5 {
		w.failures = append(w.failures, fmt.Sprintf("%v: ", w.now.Round(time.Millisecond))+fmt.Sprintf(format, args...))
	}
}

func (n *node) description() swarmnet.NodeDescription {
	addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(n.at + 1)})
	return swarmnet.NodeDescription{
		Hostname: n.name, OS: "linux", Arch: "amd64", VTEP: addr, GossipAddr: netip.AddrPortFrom(addr, 7946),
		APIAddr: netip.AddrPortFrom(addr, 2377).String(), UnderlayMTU: 1500, GossipPubKey: []byte(n.id),
	}
}

// genesis is the state of a cluster whose nodes have enrolled.
func (w *World) genesis() []state.Command {
	spec := swarmnet.DefaultClusterSpec()
	spec.TaskHistory = 1
	cmds := []state.Command{
		state.CreateCluster{Cluster: swarmnet.Cluster{ID: swarmnet.ClusterID(swarmnet.DeriveID("cluster")), Spec: spec}},
		state.CreateNetwork{Network: swarmnet.Network{ID: swarmnet.NetworkID(swarmnet.DeriveID("network", "ingress")),
			Spec: swarmnet.NetworkSpec{Name: "ingress", Driver: swarmnet.DriverOverlay, Ingress: true}}},
	}
	for i, n := range w.nodes {
		role := swarmnet.RoleWorker
		if n.manager != nil {
			role = swarmnet.RoleManager
		}
		cmds = append(cmds, state.CreateNode{Node: swarmnet.Node{ID: n.id, Role: role, Spec: swarmnet.NodeSpec{Role: role}}})
		if n.manager != nil {
			cmds = append(cmds, state.SetRaftID{Node: n.id, RaftID: uint64(i + 1)})
		}
	}
	return cmds
}

// start starts the node's daemon.
func (n *node) start() {
	if !n.on || n.daemon != nil {
		return
	}
	n.life++
	n.daemon = newDaemon(n)
	n.w.relink()
	n.daemon.begin()
}

// stop ends the daemon at once. Workloads, and what is in the kernel, stay.
func (n *node) stop() {
	if n.daemon == nil {
		return
	}
	n.life++
	n.daemon = nil
	if n.manager != nil {
		n.manager.sessions, n.manager.flushing = map[swarmnet.NodeID]*served{}, false
	}
	n.w.relink()
	n.w.hangUp(n)
}

// powerOff takes workloads and kernel along.
func (n *node) powerOff() {
	n.stop()
	n.on = false
	n.kernel = kernel{}
	for _, l := range n.loads {
		l.powerCut()
	}
	n.w.relink()
}

func (n *node) powerOn() {
	n.on = true
	n.start()
}

// guard runs do only as long as the node's daemon lives the life of now.
func (n *node) guard(do func()) func() {
	life := n.life
	return func() {
		if n.life == life && n.daemon != nil {
			do()
		}
	}
}
