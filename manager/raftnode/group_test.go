package raftnode

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
)

// list is a state machine: the proposals in the order in which they were applied, each once.
type list struct {
	Items []string
	Seen  map[string]int // by proposal: its place
	Last  uint64         // the index of the newest entry that it has seen
}

func newList() *list { return &list{Seen: map[string]int{}} }

func (l *list) Apply(entries []Entry) ([]any, error) {
	var out []any
	for _, e := range entries {
		if e.Index <= l.Last {
			return nil, fmt.Errorf("entry %d comes after entry %d", e.Index, l.Last)
		}
		l.Last = e.Index
		id := string(e.ID[:])
		if _, ok := l.Seen[id]; !ok {
			l.Seen[id] = len(l.Items)
			l.Items = append(l.Items, string(e.Data))
		}
		out = append(out, l.Seen[id])
	}
	return out, nil
}

func (l *list) Hash() uint64 {
	h := fnv.New64a()
	for _, item := range l.Items {
		fmt.Fprintf(h, "%q", item)
	}
	return h.Sum64()
}

// image is a list as it was.
type image []byte

func (i image) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(i)
	return int64(n), err
}

type listImage struct {
	Items []string
	IDs   [][]byte
	Last  uint64
}

func (l *list) Snapshot() (io.WriterTo, error) {
	out := listImage{Items: l.Items, Last: l.Last, IDs: make([][]byte, len(l.Items))}
	for id, at := range l.Seen {
		out.IDs[at] = []byte(id)
	}
	b, err := json.Marshal(out)
	return image(b), err
}

func (l *list) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	var in listImage
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*l = list{Items: in.Items, Last: in.Last, Seen: map[string]int{}}
	for i, id := range in.IDs {
		l.Seen[string(id)] = i
	}
	return nil
}

// group is nodes in one goroutine, a network between them and a disk under each.
type group struct {
	t     testing.TB
	nodes map[uint64]*member1
	net   []parcel
	cut   func(from, to uint64) bool
	every uint64 // SnapshotEvery
	audit uint64 // AuditEvery
	build func(id uint64) string
}

// member1 is a node of the group; node is nil while it is down.
type member1 struct {
	id    uint64
	fs    *vfs.Mem
	state *list
	node  *Node
	err   error // what ended it
}

type parcel struct {
	from, to uint64
	msg      []byte
	image    []byte
	done     func(error)
}

var errLost = errors.New("lost on the way")

// wire is a node's transport.
type wire struct {
	g  *group
	id uint64
}

func (w wire) Run(ctx context.Context, _ Receiver) error { <-ctx.Done(); return ctx.Err() }

func (w wire) Send(to Peer, msgs []*pb.Message) {
	for _, m := range msgs {
		b, err := proto.Marshal(m)
		if err != nil {
			w.g.t.Fatal(err)
		}
		w.g.net = append(w.g.net, parcel{from: w.id, to: to.ID, msg: b})
	}
}

func (w wire) SendSnapshot(to Peer, m *pb.Message, open func() (io.ReadCloser, error), done func(error)) {
	b, err := proto.Marshal(m)
	if err != nil {
		w.g.t.Fatal(err)
	}
	r, err := open()
	if err != nil {
		done(err)
		return
	}
	defer r.Close()
	image, err := io.ReadAll(r)
	if err != nil {
		done(err)
		return
	}
	w.g.net = append(w.g.net, parcel{w.id, to.ID, b, image, done})
}

func newGroup(t testing.TB) *group {
	return &group{t: t, nodes: map[uint64]*member1{}, cut: func(_, _ uint64) bool { return false }, every: 1 << 30,
		build: func(uint64) string { return "" }}
}

var testKey = bytes.Repeat([]byte{7}, 32)

// start opens a node on its disk. The first one makes the group.
func (g *group) start(id uint64, bootstrap bool) error {
	m := g.nodes[id]
	if m == nil {
		m = &member1{id: id, fs: vfs.NewMem()}
		g.nodes[id] = m
	}
	m.state, m.err = newList(), nil
	var peers []Peer
	for other := range g.nodes {
		peers = append(peers, peer(other))
	}
	m.node, m.err = Open(Config{
		ID: id, NodeID: peer(id).NodeID, Addr: peer(id).Addr, ClusterID: "c", FS: m.fs, Dir: "raft", Key: testKey,
		StateMachine: m.state, Transport: wire{g, id}, Bootstrap: bootstrap, Peers: peers,
		SegmentSize: 4096, SnapshotEvery: g.every, AuditEvery: g.audit, Build: g.build(id),
	})
	if m.err != nil {
		m.node = nil
	}
	return m.err
}

func peer(id uint64) Peer {
	return Peer{ID: id, NodeID: fmt.Sprintf("m%d", id), Addr: fmt.Sprintf("m%d:1", id)}
}

// crash ends a node as a loss of power does; with a rand, some of what was not synced survives.
func (g *group) crash(id uint64, r *rand.Rand) {
	m := g.nodes[id]
	m.fs = m.fs.Crash(r)
	if m.node != nil {
		m.node.stop(ErrStopped)
	}
	m.node = nil
	g.net = slices.DeleteFunc(g.net, func(p parcel) bool { return p.from == id })
}

func (g *group) ids() []uint64 { return slices.Sorted(maps.Keys(g.nodes)) }

// step does one round of one kind of work of one node; false when there was nothing to do.
func (g *group) step(id uint64, kind int) bool {
	m := g.nodes[id]
	if m.node == nil {
		return false
	}
	n := m.node
	more, err := [](func() (bool, error)){n.stepRaft, n.stepLog, n.stepApply, n.stepSnapshot}[kind]()
	if err != nil {
		m.err = err
		n.stop(ErrStopped)
		m.node = nil
	}
	return more
}

// deliver brings one message to its end.
func (g *group) deliver(at int) {
	p := g.net[at]
	g.net = slices.Delete(g.net, at, at+1)
	from, to := g.nodes[p.from], g.nodes[p.to]
	if to == nil || to.node == nil || g.cut(p.from, p.to) {
		if p.done != nil {
			p.done(errLost)
		}
		if from.node != nil {
			from.node.Unreachable(p.to)
		}
		return
	}
	msg := &pb.Message{}
	if err := proto.Unmarshal(p.msg, msg); err != nil {
		g.t.Fatal(err)
	}
	var err error
	if p.done != nil {
		err = to.node.ReceiveSnapshot(context.Background(), msg, bytes.NewReader(p.image))
		p.done(err)
	} else {
		err = to.node.Step(msg)
	}
	if err != nil && !errors.Is(err, ErrStopped) {
		to.err = err
	}
}

// stabilize lets everything happen that needs no time to pass.
func (g *group) stabilize() {
	for range 10000 {
		busy := false
		for _, id := range g.ids() {
			for kind := range 4 {
				busy = g.step(id, kind) || busy
			}
		}
		for len(g.net) > 0 {
			g.deliver(0)
			busy = true
		}
		if !busy {
			return
		}
	}
	g.t.Fatal("the group does not come to rest")
}

// tick lets time pass, for all, with rest between.
func (g *group) tick(ticks int) {
	for range ticks {
		for _, id := range g.ids() {
			if n := g.nodes[id].node; n != nil {
				_ = n.tick()
			}
		}
		g.stabilize()
	}
}

// tick lets one interval pass, as tickLoop does by the clock.
func (n *Node) tick() error {
	n.keepUp()
	return n.with(func(c *core) error { c.tick(); return nil })
}

// elect has a node campaign as if the leader had handed over: no lease and no chance are in the way.
func (g *group) elect(id uint64) {
	n := g.nodes[id].node
	term, other := n.Status().Term, id%100+1
	_ = n.with(func(c *core) error {
		return c.raw.Step(&pb.Message{Type: pb.MsgTimeoutNow.Enum(), To: &id, From: &other, Term: &term})
	})
}

// awaitLeader lets time pass until there is a leader that has just been heard: of two that campaign at the same tick neither may win, again and again.
func (g *group) awaitLeader() {
	g.t.Helper()
	for range 1000 {
		g.tick(1)
		if g.leader() != nil {
			return
		}
	}
	g.t.Fatal("nobody leads after 1,000 ticks")
}

// leader returns the leader with the highest term that is up; nil when there is none.
func (g *group) leader() *member1 {
	var best *member1
	for _, id := range g.ids() {
		if m := g.nodes[id]; m.node != nil && m.node.Status().IsLeader && (best == nil || m.node.Status().Term > best.node.Status().Term) {
			best = m
		}
	}
	return best
}

// grow makes a group of n voters.
func (g *group) grow(n uint64) {
	if err := g.start(1, true); err != nil {
		g.t.Fatal(err)
	}
	g.stabilize()
	for id := uint64(2); id <= n; id++ {
		if err := g.start(id, false); err != nil {
			g.t.Fatal(err)
		}
		g.change(1, pb.ConfChangeAddLearnerNode, peer(id))
		g.stabilize()
		g.tick(3)
	}
	for id := range n {
		if st := g.nodes[id+1].node.Status(); len(st.Members) != int(n) || slices.ContainsFunc(st.Members, func(m Member) bool { return !m.Voter }) {
			g.t.Fatalf("node %d sees %v", id+1, st.Members)
		}
	}
}

func (g *group) change(at uint64, typ pb.ConfChangeType, p Peer) *proposal {
	prop, err := newChange(typ, p)
	if err != nil {
		g.t.Fatal(err)
	}
	if err := g.nodes[at].node.submit(prop); err != nil {
		prop.done <- result{err: err}
	}
	return prop
}

func (g *group) propose(at uint64, data string) *proposal {
	p := newProposal([]byte(data))
	if err := g.nodes[at].node.submit(p); err != nil {
		p.done <- result{err: err}
	}
	return p
}

// answer says what became of a proposal.
func (p *proposal) answer() string {
	select {
	case r := <-p.done:
		p.done <- r
		if r.err != nil {
			return r.err.Error()
		}
		return fmt.Sprintf("ok %v", r.value)
	default:
		return "waits"
	}
}

func (g *group) describe(id uint64) string {
	m := g.nodes[id]
	if m.node == nil {
		if m.err != nil {
			return fmt.Sprintf("%d: down: %v", id, m.err)
		}
		return fmt.Sprintf("%d: down", id)
	}
	st := m.node.Status()
	role := "follower"
	if st.IsLeader {
		role = "leader"
	}
	var members []string
	for _, one := range st.Members {
		s := one.NodeID
		if !one.Voter {
			s += "?"
		}
		members = append(members, s)
	}
	out := fmt.Sprintf("%d: %s of %d, applied %d, members %s: %s", id, role, st.Leader, st.Applied, strings.Join(members, ","), strings.Join(m.state.Items, " "))
	if st.Removed {
		out += " (removed)"
	}
	if st.DiskFull {
		out += " (disk full)"
	}
	return out
}

var _ raft.Storage = (*storage)(nil)
