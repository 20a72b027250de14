package member

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/swarmnet/swarmnet/gossip"
)

// cutter parts the first nodes from the others, both ways, without anybody being told: packets vanish, connections hang.
type cutter struct {
	*transport
	w     *world
	first bool // on which side this one is
	at    int  // how many nodes are on the first side
	cut   *atomic.Bool
}

func (c cutter) lost(addr string) bool {
	if !c.cut.Load() {
		return false
	}
	for i, p := range c.w.infos {
		if p.GossipAddr.String() == addr {
			return (i < c.at) != c.first
		}
	}
	return false
}

func (c cutter) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if c.lost(a.Addr) {
		return time.Now(), nil
	}
	return c.transport.WriteToAddress(b, a)
}

func (c cutter) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	for end := time.Now().Add(timeout); c.lost(a.Addr); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return nil, errors.New("timed out")
		}
	}
	return c.transport.DialAddressTimeout(a, timeout)
}

func TestIslandsFindEachOtherAgain(t *testing.T) {
	w := newWorld(t, 5)
	var cut atomic.Bool
	w.wrap = func(i int, t *transport) memberlist.Transport {
		return cutter{transport: t, w: w, first: i < 2, at: 2, cut: &cut}
	}
	for i := range 5 {
		w.up(i, w.settings(1, key1))
	}
	w.eventually("all are alive", 10*time.Second, w.whole)

	cut.Store(true)
	w.nodes[0].SetEndpoint("net", "left", gossip.EndpointReady)
	w.nodes[4].SetEndpoint("net", "right", gossip.EndpointReady)
	took := w.eventually("each side takes the other for dead", 15*time.Second, func() bool {
		return w.all(func(i int, v gossip.View) bool {
			for j := range w.nodes {
				want := gossip.Alive
				if (i < 2) != (j < 2) {
					want = gossip.Dead
				}
				if v.Nodes[w.infos[j].NodeID] != want {
					return false
				}
			}
			return true
		})
	})
	t.Log("cut known after", took)
	if v := w.nodes[4].View(); v.Endpoints["left"].State != gossip.EndpointUnknown {
		t.Fatal("a row crossed the cut: it does not cut")
	}

	cut.Store(false)
	took = w.eventually("all are alive again", 10*time.Second, w.whole)
	took += w.eventually("the left row is everywhere", 5*time.Second, w.rowIs("left", gossip.EndpointReady))
	took += w.eventually("the right row is everywhere", 5*time.Second, w.rowIs("right", gossip.EndpointReady))
	t.Log("healed after", took)
	if took > 5*time.Second {
		t.Errorf("healing took %v: at most 5 s is wanted, 3 s is the aim", took)
	}
}
