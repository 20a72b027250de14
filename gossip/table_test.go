package gossip

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
)

type peer struct {
	*Table
	key ed25519.PrivateKey
}

// peers returns tables that know each other's keys.
func peers(t *testing.T, ids ...swarmnet.NodeID) map[swarmnet.NodeID]peer {
	t.Helper()
	keys, out := map[swarmnet.NodeID]ed25519.PublicKey{}, map[swarmnet.NodeID]peer{}
	for i, id := range ids {
		seed := make([]byte, ed25519.SeedSize)
		seed[0] = byte(i + 1)
		key := ed25519.NewKeyFromSeed(seed)
		keys[id] = key.Public().(ed25519.PublicKey)
		out[id] = peer{NewTable(Options{Cluster: "c", Self: id, Sign: SignEd25519(key)}), key}
	}
	for _, p := range out {
		p.SetOwners(keys)
		p.Restart(Version{Epoch: 1})
	}
	return out
}

func (p peer) put(t *testing.T, name string, s EndpointState) *Signed {
	t.Helper()
	if err := p.Put(EndpointKey("net", swarmnet.EndpointID(name)), EncodeEndpoint(s)); err != nil {
		t.Fatal(err)
	}
	return p.Flush()
}

// wire sends a batch through its encoding.
func wire(t *testing.T, s *Signed) *Signed {
	t.Helper()
	raw, err := Message{From: "x", Batches: []*Signed{s}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	m, err := DecodeMessage(raw)
	if err != nil {
		t.Fatal(err)
	}
	return m.Batches[0]
}

func receive(t *testing.T, p peer, s *Signed, want Result) {
	t.Helper()
	if got, err := p.Receive(wire(t, s)); err != nil || got != want {
		t.Fatalf("batch %d to %d was %s (%v), not %s", s.Batch.From, s.Batch.To, got, err, want)
	}
}

func TestGapIsFilledBySince(t *testing.T) {
	p := peers(t, "a", "b")
	a, b := p["a"], p["b"]
	receive(t, b, a.put(t, "e1", EndpointUp), Applied)
	lost := a.put(t, "e1", EndpointReady)
	third := a.put(t, "e2", EndpointUp)
	receive(t, b, third, Gap)
	missing := a.Since("a", b.Head("a"))
	if len(missing) != 2 {
		t.Fatalf("Since gave %d batches, not the two that are missing", len(missing))
	}
	receive(t, b, missing[0], Applied)
	receive(t, b, missing[1], Applied)
	receive(t, b, lost, Stale)
	if v := b.View(nil); v.Endpoints["e1"].State != EndpointReady || v.Endpoints["e2"].State != EndpointUp {
		t.Errorf("view is %v", v.Endpoints)
	}
	if b.Digest() != a.Digest() {
		t.Error("equal tables have different digests")
	}
}

func TestWholeStateDeletesWhatIsAbsent(t *testing.T) {
	p := peers(t, "a", "b")
	a, b := p["a"], p["b"]
	receive(t, b, a.put(t, "gone", EndpointUp), Applied)
	a.Delete(EndpointKey("net", "gone"))
	a.put(t, "stays", EndpointReady)
	a.Restart(Version{Epoch: 2})
	whole := a.Flush()
	if whole.Batch.From != 0 {
		t.Fatalf("a new epoch starts with changes from %d, not with the whole state", whole.Batch.From)
	}
	receive(t, b, whole, Applied)
	v := b.View(nil)
	if _, ok := v.Endpoints["gone"]; ok || v.Endpoints["stays"].State != EndpointReady {
		t.Errorf("view is %v", v.Endpoints)
	}
}

func TestChainsAreCutBack(t *testing.T) {
	p := peers(t, "a", "b")
	for i := range 5000 {
		receive(t, p["b"], p["a"].put(t, fmt.Sprint("e", i%3), EndpointState(1+i/3%3)), Applied)
	}
	if n := len(p["b"].Since("a", Head{})); n > 200 {
		t.Errorf("3 rows are kept as %d batches", n)
	}
}

func TestForgeriesAreRefused(t *testing.T) {
	p := peers(t, "a", "b", "thief")
	a, b := p["a"], p["b"]
	s := a.put(t, "e1", EndpointReady)

	forged := sign("c", SignEd25519(p["thief"].key), s.Batch)
	if _, err := b.Receive(forged); !errors.Is(err, ErrSignature) {
		t.Errorf("a batch signed by another: %v", err)
	}
	other := sign("other cluster", SignEd25519(a.key), s.Batch)
	if _, err := b.Receive(other); !errors.Is(err, ErrSignature) {
		t.Errorf("a batch signed for another cluster: %v", err)
	}
	b.SetOwners(nil)
	if _, err := b.Receive(s); !errors.Is(err, ErrUnknownOwner) {
		t.Errorf("a batch of no member: %v", err)
	}
	if h := b.Head("a"); h != (Head{}) {
		t.Errorf("something was taken in: %s", h)
	}
}

func TestQuota(t *testing.T) {
	p := peers(t, "a", "b")
	b := p["b"]
	b.opt.Quota = Quota{Rows: 2, Bytes: 1 << 20}
	p["a"].put(t, "1", EndpointUp)
	p["a"].put(t, "2", EndpointUp)
	p["a"].put(t, "3", EndpointUp)
	p["a"].Restart(Version{Epoch: 2})
	if _, err := b.Receive(p["a"].Flush()); !errors.Is(err, ErrQuota) {
		t.Errorf("three rows where two are allowed: %v", err)
	}
	p["a"].opt.Quota = b.opt.Quota
	if err := p["a"].Put(EndpointKey("net", "4"), nil); !errors.Is(err, ErrQuota) {
		t.Errorf("an owner may publish what others refuse: %v", err)
	}
}

func TestRemovedOwnersAreForgotten(t *testing.T) {
	p := peers(t, "a", "b")
	b := p["b"]
	receive(t, b, p["a"].put(t, "e1", EndpointReady), Applied)
	before := b.Generation()
	b.SetOwners(nil)
	if len(b.View(nil).Endpoints) != 0 || b.Generation() == before || b.Digest() != (Digest{}) {
		t.Error("rows of a removed owner are still there")
	}
}

func TestRestartedOwnerOutlivesItsEarlierLife(t *testing.T) {
	p := peers(t, "a", "b")
	for i := range 10 {
		receive(t, p["b"], p["a"].put(t, fmt.Sprint("old", i), EndpointReady), Applied)
	}
	reborn := peers(t, "a", "b")["a"] // the same epoch and start: no manager, and a clock that stood still
	receive(t, p["b"], reborn.put(t, "new", EndpointReady), Stale)
	for _, s := range p["b"].Since("a", reborn.Head("a")) {
		if result, err := reborn.Receive(s); err != nil {
			t.Fatal(result, err)
		}
	}
	receive(t, p["b"], reborn.Flush(), Applied)
	if v := p["b"].View(nil); len(v.Endpoints) != 1 || v.Endpoints["new"].State != EndpointReady {
		t.Errorf("view is %v", v.Endpoints)
	}
}

func TestRowOfTwoOwners(t *testing.T) {
	p := peers(t, "a", "b", "c")
	receive(t, p["c"], p["a"].put(t, "e", EndpointDraining), Applied)
	receive(t, p["c"], p["b"].put(t, "e", EndpointReady), Applied)
	v := p["c"].View(nil)
	for owner, want := range map[swarmnet.NodeID]EndpointState{"a": EndpointDraining, "b": EndpointReady} {
		if row, ok := v.Row("e", owner); !ok || row.State != want {
			t.Errorf("the row of %s is %v", owner, row)
		}
	}
	if _, ok := v.Row("e", "c"); ok {
		t.Error("c has published nothing")
	}
}

// Batches in any order, with any losses, never show a state that the owner was not in.
func TestReceivedStatesAreTrueStates(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := peers(t, "a", "b")
		states := map[Head]string{{}: "map[]"}
		var batches []*Signed
		for range rapid.IntRange(1, 40).Draw(rt, "changes") {
			k := EndpointKey("net", swarmnet.EndpointID(rapid.SampledFrom([]string{"x", "y", "z"}).Draw(rt, "row")))
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				p["a"].Restart(Version{Epoch: p["a"].own.version.Epoch + 1})
			case 1, 2, 3:
				p["a"].Delete(k)
			default:
				if err := p["a"].Put(k, EncodeEndpoint(EndpointState(rapid.IntRange(1, 3).Draw(rt, "state")))); err != nil {
					rt.Fatal(err)
				}
			}
			if s := p["a"].Flush(); s != nil {
				batches = append(batches, s)
				states[p["a"].Head("a")] = fmt.Sprint(p["a"].Rows("a"))
			}
		}
		for range rapid.IntRange(0, 60).Draw(rt, "deliveries") {
			if len(batches) == 0 {
				break
			}
			if _, err := p["b"].Receive(rapid.SampledFrom(batches).Draw(rt, "batch")); err != nil {
				rt.Fatal(err)
			}
			h := p["b"].Head("a")
			if got := fmt.Sprint(p["b"].Rows("a")); got != states[h] {
				rt.Fatalf("at %s b holds %s, the owner had %s", h, got, states[h])
			}
		}
	})
}

func FuzzDecodeMessage(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	s := sign("c", SignEd25519(key), Batch{Owner: "a", Version: Version{Epoch: 1}, To: 1, Changes: []Change{{Key: EndpointKey("n", "e"), Value: EncodeEndpoint(EndpointUp)}}})
	d := Digest{}
	raw, err := Message{From: "a", Batches: []*Signed{s}, Heads: []OwnerHead{{Owner: "a"}}, Root: 5, Buckets: d.Buckets[:], Complete: 3}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := DecodeMessage(raw)
		if err != nil {
			return
		}
		table := NewTable(Options{Cluster: "c", Self: "b", Verify: func(ed25519.PublicKey, []byte, []byte) bool { return true }, Sign: checksum})
		table.SetOwners(map[swarmnet.NodeID]ed25519.PublicKey{"a": nil, "b": nil})
		sp := NewSpeaker(table, nil)
		if _, err := sp.Handle(m); err != nil {
			return
		}
		table.View(nil)
	})
}
