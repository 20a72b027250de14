package pathmtu

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
)

// way is one that carries so much, and counts the rounds and packets that it is tried with.
type wayOf struct{ carries, rounds, packets int }

func (w *wayOf) answered(sizes []int) (got int, err error) {
	w.rounds++
	for _, s := range sizes {
		w.packets++
		if s <= w.carries {
			got = max(got, s)
		}
	}
	return got, nil
}

func TestSearchFindsWhatArrives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(Least, 9000).Draw(t, "most")
		w := &wayOf{carries: rapid.IntRange(Least, 9500).Draw(t, "carries")}
		want := min(most, w.carries)
		got, err := Search(most, 0, w.answered)
		if err != nil || got != want {
			t.Fatalf("found %d, want %d: %v", got, want, err)
		}
		if w.rounds > 5 {
			t.Fatalf("%d rounds", w.rounds)
		}
		// Once it is known, it is seen in one round, and so is that the way takes all again.
		for _, carries := range []int{w.carries, most} {
			again := &wayOf{carries: carries}
			if got, err := Search(most, want, again.answered); err != nil || got != min(most, carries) || again.rounds > 1 || again.packets > 3 {
				t.Fatalf("with %d known and %d carried: %d after %+v: %v", want, carries, got, again, err)
			}
		}
	})
}

func TestSearchOfAWayThatGotWorse(t *testing.T) {
	w := &wayOf{carries: 1300}
	if got, err := Search(1500, 1400, w.answered); err != nil || got != 1300 {
		t.Errorf("found %d: %v", got, err)
	}
}

func TestSearchOfASilentWay(t *testing.T) {
	w := &wayOf{}
	if got, err := Search(1500, 1400, w.answered); !errors.Is(err, ErrSilent) || got != 0 || w.rounds != 1 {
		t.Errorf("found %d after %+v: %v", got, w, err)
	}
	broken := errors.New("no socket")
	if _, err := Search(1500, 0, func([]int) (int, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("a failure: %v", err)
	}
	// It falls silent amid the search: what was seen so far is no result.
	w = &wayOf{carries: 1300}
	if _, err := Search(1500, 0, func(sizes []int) (int, error) {
		if w.rounds > 0 {
			return 0, nil
		}
		return w.answered(sizes)
	}); !errors.Is(err, ErrSilent) {
		t.Errorf("silent from then on: %v", err)
	}
	if got, err := Search(500, 0, w.answered); err != nil || got != 500 {
		t.Errorf("a route that takes less than is ever searched for: %d %v", got, err)
	}
}

func TestTable(t *testing.T) {
	a, b := Peer{Node: "a", VTEP: netip.MustParseAddr("192.0.2.1")}, Peer{Node: "b", VTEP: netip.MustParseAddr("192.0.2.2")}
	peers, now := []Peer{a, b}, time.Unix(1000, 0)
	var table Table
	due := func(want ...Peer) {
		t.Helper()
		if got := table.Due(peers, now); !slices.Equal(got, want) {
			t.Errorf("due are %v, want %v", got, want)
		}
	}
	least := func(want int) {
		t.Helper()
		if got := table.MTU(peers); got != want {
			t.Errorf("the least is %d, want %d", got, want)
		}
	}
	due(a, b)
	least(0)
	table.Note(a, 1500, now)
	due(b)
	least(1500)
	table.Note(b, 1300, now)
	due()
	least(1300)
	if got := table.Last(b, now); got != 1300 {
		t.Errorf("the last size is %d", got)
	}
	now = now.Add(CheckEvery)
	due(a, b)
	table.Note(b, 0, now) // silent: what was known stays
	due(a)
	least(1300)
	now = now.Add(RaiseEvery)
	if got := table.Last(b, now); got != 0 {
		t.Errorf("the last size is %d after %v: it is to be searched anew", got, RaiseEvery)
	}
	table.Note(b, 1300, now)
	if got := table.Last(b, now); got != 1300 {
		t.Errorf("found anew the last size is %d", got)
	}
	peers[1].VTEP = netip.MustParseAddr("192.0.2.9") // another way
	due(a, peers[1])
	least(1500)
	peers = peers[:1]
	least(1500)
	if len(table.ways) != 1 {
		t.Errorf("a node that is gone is remembered: %v", table.ways)
	}
}

func TestPeers(t *testing.T) {
	node := func(id swarmnet.NodeID, vtep, ingress string) swarmnet.Node {
		n := swarmnet.Node{ID: id}
		n.Description.VTEP, _ = netip.ParseAddr(vtep)
		if p, err := netip.ParsePrefix(ingress); err == nil {
			n.Ingress = []netip.Prefix{p}
		}
		return n
	}
	set := swarmnet.EmptyAssignmentSet()
	for _, n := range []swarmnet.Node{
		node("me", "192.0.2.1", "10.0.0.1/24"), node("far", "192.0.2.3", "10.0.0.3/24"), node("also", "192.0.2.2", "10.0.0.2/24"),
		node("six", "2001:db8::1", "10.0.0.4/24"), node("new", "", "10.0.0.5/24"), node("no-ingress", "192.0.2.6", ""),
	} {
		set.Nodes[n.ID] = n
	}
	set.Self = "me"
	var got []swarmnet.NodeID
	for _, p := range Peers(set) {
		got = append(got, p.Node)
	}
	if !slices.Equal(got, []swarmnet.NodeID{"also", "far"}) {
		t.Errorf("peers are %v", got)
	}
	set.Self = "no-ingress"
	if got := Peers(set); got != nil {
		t.Errorf("peers of a node without an ingress address: %v", got)
	}
}

// What is sent is as long as it is to be, in what VXLAN puts around it, and its checksums add up.
func TestEcho(t *testing.T) {
	four := Peer{VTEP: netip.MustParseAddr("192.0.2.1"), MAC: swarmnet.MAC{2, 1}, Addr: netip.MustParseAddr("10.0.0.1")}
	six := Peer{VTEP: netip.MustParseAddr("2001:db8::1"), MAC: swarmnet.MAC{2, 2}, Addr: netip.MustParseAddr("10.0.0.2")}
	for _, c := range []struct {
		to    Peer
		outer int
	}{{four, 28}, {six, 48}} {
		for _, size := range []int{Least, 1399, 1500, 9000} {
			b := Echo(4096, four, c.to, size, 0x1234, 7)
			if len(b)+c.outer != size {
				t.Fatalf("a packet of %d has a payload of %d", size, len(b))
			}
			ip := b[vxlanHeader+etherHeader:]
			if checksum(ip[:ipHeader]) != 0 || checksum(ip[ipHeader:]) != 0 {
				t.Errorf("size %d: the checksums of IP and ICMP leave %#x and %#x", size, checksum(ip[:ipHeader]), checksum(ip[ipHeader:]))
			}
			reply := slices.Clone(ip[ipHeader:])
			reply[0] = 0
			if id, seq, ok := EchoReply(reply); id != 0x1234 || seq != 7 || !ok {
				t.Errorf("read back: %#x %d %v", id, seq, ok)
			}
		}
	}
	if _, _, ok := EchoReply([]byte{8, 0, 0, 0, 0, 0, 0, 0}); ok {
		t.Error("a request is taken for a reply")
	}
}
