package member

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/goleak"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

// memberlist's Shutdown does not wait for a probe under way; it ends by itself within two seconds.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"))
}

// testLog writes to a test's log until the test is over: such a probe still logs.
type testLog struct {
	mu  sync.Mutex
	out io.Writer
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

func (l *testLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out = io.Discard
}

// world is a cluster of real members on loopback addresses.
type world struct {
	t     *testing.T
	infos []PeerInfo
	keys  []ed25519.PrivateKey
	nodes []*running
	log   *testLog
	// wrap, where set, gives node i its transport.
	wrap func(i int, t *transport) memberlist.Transport
}

type running struct {
	*Member
	stop context.CancelFunc
	done chan error
}

var key1 = swarmnet.GossipKey{ID: 1, Key: bytes.Repeat([]byte{1}, 32)}
var key2 = swarmnet.GossipKey{ID: 2, Key: bytes.Repeat([]byte{2}, 32)}

func newWorld(t *testing.T, n int) *world {
	t.Helper()
	w := &world{t: t, nodes: make([]*running, n), log: &testLog{out: t.Output()}}
	t.Cleanup(w.log.end)
	for i := range n {
		pub, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		w.keys = append(w.keys, key)
		w.infos = append(w.infos, PeerInfo{NodeID: swarmnet.NodeID(fmt.Sprintf("node%d", i)), GossipAddr: freePort(t, fmt.Sprintf("127.0.0.%d", i+1)), PubKey: pub})
	}
	t.Cleanup(func() {
		for i := range w.nodes {
			w.kill(i)
		}
	})
	return w
}

// freePort returns an address whose port is free for both TCP and UDP.
func freePort(t *testing.T, ip string) netip.AddrPort {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", ip+":0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		u, err := net.ListenPacket("udp", addr)
		l.Close()
		if err == nil {
			u.Close()
			return netip.MustParseAddrPort(addr)
		}
	}
	t.Fatal("no port is free for both TCP and UDP")
	return netip.AddrPort{}
}

func (w *world) settings(epoch uint64, keys ...swarmnet.GossipKey) Settings {
	return Settings{ClusterID: "cluster", Epoch: epoch, Keys: keys, Peers: w.infos}
}

// boot starts a node, without settings.
func (w *world) boot(i int) *running {
	w.t.Helper()
	m, err := New(Config{NodeID: w.infos[i].NodeID, BindAddr: w.infos[i].GossipAddr, Key: w.keys[i], Logger: slog.New(slog.NewTextHandler(w.log, nil)).With("at", i)})
	if err != nil {
		w.t.Fatal(err)
	}
	if w.wrap != nil {
		m.wrap = func(t *transport) memberlist.Transport { return w.wrap(i, t) }
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &running{Member: m, stop: stop, done: make(chan error, 1)}
	go func() { r.done <- m.Run(ctx) }()
	w.nodes[i] = r
	return r
}

func (w *world) up(i int, s Settings) *running {
	w.t.Helper()
	r := w.boot(i)
	if err := r.Configure(s); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// kill ends a node without a word.
func (w *world) kill(i int) {
	if r := w.nodes[i]; r != nil {
		r.stop()
		if err := <-r.done; err != nil {
			w.t.Errorf("node %d: %v", i, err)
		}
		w.nodes[i] = nil
	}
}

// eventually waits for a condition and returns how long it took.
func (w *world) eventually(what string, limit time.Duration, ok func() bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > limit {
			for i, n := range w.nodes {
				if n != nil {
					w.t.Logf("node %d sees %v", i, n.View())
				}
			}
			w.t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

// all reports whether the condition holds at every running node.
func (w *world) all(ok func(i int, v gossip.View) bool) bool {
	for i, n := range w.nodes {
		if n != nil && !ok(i, n.View()) {
			return false
		}
	}
	return true
}

func (w *world) whole() bool {
	return w.all(func(_ int, v gossip.View) bool {
		for j := range w.nodes {
			if v.Nodes[w.infos[j].NodeID] != gossip.Alive {
				return false
			}
		}
		return true
	})
}

func (w *world) rowIs(ep swarmnet.EndpointID, want gossip.EndpointState) func() bool {
	return func() bool {
		return w.all(func(_ int, v gossip.View) bool { return v.Endpoints[ep].State == want })
	}
}

func TestRowsAndADeath(t *testing.T) {
	w := newWorld(t, 5)
	for i := range 5 {
		w.boot(i).SetEndpoint("net", swarmnet.EndpointID(fmt.Sprint("early", i)), gossip.EndpointUp) // before anything is known
		if err := w.nodes[i].Configure(w.settings(1, key1)); err != nil {
			t.Fatal(err)
		}
	}
	t.Log("formed after", w.eventually("all are alive", 10*time.Second, w.whole))
	for i := range 5 {
		w.eventually("rows from before the start", 10*time.Second, w.rowIs(swarmnet.EndpointID(fmt.Sprint("early", i)), gossip.EndpointUp))
	}
	for len(w.nodes[3].Changed()) > 0 {
		<-w.nodes[3].Changed()
	}
	w.nodes[0].SetEndpoint("net", "ep", gossip.EndpointReady)
	t.Log("a row spread after", w.eventually("the row is everywhere", 10*time.Second, w.rowIs("ep", gossip.EndpointReady)))
	select {
	case <-w.nodes[3].Changed():
	case <-time.After(10 * time.Second):
		t.Error("a changed view was not announced")
	}
	w.nodes[0].DeleteEndpoint("net", "ep")
	w.eventually("the row is deleted everywhere", 10*time.Second, w.rowIs("ep", gossip.EndpointUnknown))

	w.kill(4)
	dead := func(i int, v gossip.View) bool {
		return v.Nodes["node4"] == gossip.Dead && v.Nodes["node1"] == gossip.Alive
	}
	took := w.eventually("the death is known to all", 10*time.Second, func() bool { return w.all(dead) })
	t.Log("death known after", took)

	w.nodes[0].SetEndpoint("net", "ep", gossip.EndpointDraining) // while node4 is away
	r := w.up(4, w.settings(2, key1))
	r.SetEndpoint("net", "reborn", gossip.EndpointReady)
	t.Log("alive again after", w.eventually("the dead one is back", 5*time.Second, w.whole))
	w.eventually("it has what it missed", 5*time.Second, w.rowIs("ep", gossip.EndpointDraining))
	w.eventually("its new rows are everywhere", 5*time.Second, w.rowIs("reborn", gossip.EndpointReady))
	w.eventually("its old rows are gone", 5*time.Second, w.rowIs("early4", gossip.EndpointUnknown))
}

// A daemon that starts on a node which is cut off has never met the others: after a while they count as dead all the same.
func TestWhoIsNeverMetIsDead(t *testing.T) {
	w := newWorld(t, 3)
	for i := range 2 {
		w.up(i, w.settings(1, key1))
	}
	w.eventually("one is met, the other is as good as dead", 15*time.Second, func() bool {
		v := w.nodes[0].View()
		return v.Nodes["node1"] == gossip.Alive && v.Nodes["node2"] == gossip.Dead
	})
	w.up(2, w.settings(1, key1))
	w.eventually("it is alive once it is met", 10*time.Second, w.whole)
}

func TestThreeNodesNoticeAPowerCut(t *testing.T) {
	w := newWorld(t, 3)
	for i := range 3 {
		w.up(i, w.settings(1, key1))
	}
	w.eventually("all are alive", 10*time.Second, w.whole)
	w.kill(2)
	t.Log("death known after", w.eventually("the death is known to both: about 3 s are wanted", 10*time.Second, func() bool {
		return w.all(func(_ int, v gossip.View) bool { return v.Nodes["node2"] == gossip.Dead })
	}))
}

func TestAWrongKeyIsRefusedAndKeysChangeWhileRunning(t *testing.T) {
	w := newWorld(t, 4)
	for i := range 3 {
		w.up(i, w.settings(1, key1))
	}
	thief := w.up(3, w.settings(1, key2))
	thief.SetEndpoint("net", "forged", gossip.EndpointReady)
	trio := func() bool {
		return w.all(func(i int, v gossip.View) bool {
			return i == 3 || v.Nodes["node0"] == gossip.Alive && v.Nodes["node1"] == gossip.Alive && v.Nodes["node2"] == gossip.Alive
		})
	}
	w.eventually("those with the key are alive", 10*time.Second, trio)
	w.nodes[0].SetEndpoint("net", "secret", gossip.EndpointReady)
	w.eventually("those with the key have the row", 5*time.Second, func() bool {
		return w.all(func(i int, v gossip.View) bool { return i == 3 || v.Endpoints["secret"].State == gossip.EndpointReady })
	})
	for i, n := range w.nodes {
		v := n.View()
		if _, ok := v.Endpoints["forged"]; ok && i != 3 || v.Endpoints["secret"].State == gossip.EndpointReady && i == 3 {
			t.Errorf("node %d holds what the wrong key should hide: %v", i, v.Endpoints)
		}
		if v.Nodes["node3"] == gossip.Alive && i != 3 {
			t.Errorf("node %d let one with a wrong key in", i)
		}
	}
	// install, use, retire: as the managers do, one node after the other
	for _, keys := range [][]swarmnet.GossipKey{{key1, key2}, {key2, key1}, {key2}} {
		for i := range 3 {
			if err := w.nodes[i].Configure(w.settings(1, keys...)); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.eventually("the fourth has the key now", 10*time.Second, w.whole)
	w.eventually("and the rows", 10*time.Second, w.rowIs("secret", gossip.EndpointReady))
}

func TestStrangersAreKeptOut(t *testing.T) {
	w := newWorld(t, 3)
	s := w.settings(1, key1)
	s.Peers = w.infos[:2]
	w.up(0, s)
	w.up(1, s)
	w.up(2, w.settings(1, key1)).SetEndpoint("net", "stranger", gossip.EndpointReady) // has the key, but the managers removed it
	w.eventually("the two are alive", 10*time.Second, func() bool {
		return w.nodes[0].View().Nodes["node1"] == gossip.Alive && w.nodes[1].View().Nodes["node0"] == gossip.Alive
	})
	w.eventually("the stranger has seen the others", 10*time.Second, func() bool { return w.nodes[2].View().Nodes["node0"] == gossip.Alive })
	for i := range 2 {
		v := w.nodes[i].View()
		if _, ok := v.Nodes["node2"]; ok {
			t.Errorf("node %d takes a stranger for a member", i)
		}
		if _, ok := v.Endpoints["stranger"]; ok {
			t.Errorf("node %d took a stranger's row in", i)
		}
	}
	for i := range 2 {
		if err := w.nodes[i].Configure(w.settings(1, key1)); err != nil {
			t.Fatal(err)
		}
	}
	w.eventually("no stranger any more", 10*time.Second, w.whole)
	w.eventually("its rows count now", 10*time.Second, w.rowIs("stranger", gossip.EndpointReady))
}

func TestLeaveIsKnownAtOnce(t *testing.T) {
	w := newWorld(t, 3)
	for i := range 3 {
		w.up(i, w.settings(1, key1))
	}
	w.eventually("all are alive", 10*time.Second, w.whole)
	if err := w.nodes[2].Leave(2 * time.Second); err != nil {
		t.Fatal(err)
	}
	// It still answers: that it is gone, the others have from its word alone.
	w.eventually("the leave is known", 10*time.Second, func() bool {
		return w.nodes[0].View().Nodes["node2"] == gossip.Dead && w.nodes[1].View().Nodes["node2"] == gossip.Dead
	})
	w.kill(2)
	w.up(2, w.settings(2, key1))
	w.eventually("it may come back", 5*time.Second, w.whole)
}

func TestBadSettingsLeaveTheOldOnes(t *testing.T) {
	w := newWorld(t, 1)
	r := w.up(0, w.settings(1, key1))
	if err := r.Configure(w.settings(1, swarmnet.GossipKey{ID: 9, Key: []byte("short")})); err == nil {
		t.Error("a key of five octets was accepted")
	}
	s := w.settings(1, key1)
	s.ClusterID = "another"
	if err := r.Configure(s); err == nil {
		t.Error("a member changed its cluster")
	}
	for len(r.Changed()) > 0 {
		<-r.Changed()
	}
	if err := r.Configure(w.settings(1, key1)); err != nil || len(r.Changed()) > 0 {
		t.Errorf("the same settings once more: %v, and %d changes", err, len(r.Changed()))
	}
	if n := len(r.keyring.GetKeys()); n != 1 {
		t.Errorf("%d keys are in force", n)
	}
}
