package ipvs

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet/internal/nl"
)

// Two tables have one digest just when there is nothing to do between them, however many connections there are.
func TestDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have := genTable(t, "have")
		want := have.clone()
		for range rapid.IntRange(0, 2).Draw(t, "changes") {
			other := genTable(t, "other")
			if len(other) == 0 {
				continue
			}
			k := rapid.SampledFrom(slices.SortedFunc(maps.Keys(other), Key.compare)).Draw(t, "key")
			want[k] = other[k]
		}
		for _, s := range want {
			for a, d := range s.Dests {
				d.Conns = rapid.IntRange(0, 3).Draw(t, "connections")
				s.Dests[a] = d
			}
		}
		if ops := Diff(have, want); (have.Digest() == want.Digest()) != (len(ops) == 0) {
			t.Fatalf("digests %x and %x with %v to do", have.Digest(), want.Digest(), ops)
		}
	})
}

// Each field that makes a difference to Diff makes one to the digest: what one service has, another has not.
func TestDigestTellsFieldsApart(t *testing.T) {
	a, b := netip.MustParseAddrPort("10.0.1.2:80"), netip.MustParseAddrPort("10.0.1.2:81")
	with := func(a netip.AddrPort, d Dest) Service {
		s := NewService(RoundRobin)
		s.Dests[a] = d
		return s
	}
	flagged := NewService(RoundRobin)
	flagged.Flags = 1
	seen := map[Digest]int{}
	for i, table := range []Table{
		{}, {keys[0]: NewService(RoundRobin)}, {keys[1]: NewService(RoundRobin)}, {keys[2]: NewService(RoundRobin)}, {keys[3]: NewService(RoundRobin)},
		{keys[4]: NewService(RoundRobin)}, {keys[0]: NewService(Maglev)}, {keys[0]: flagged},
		{keys[0]: with(a, Dest{})}, {keys[0]: with(b, Dest{})}, {keys[0]: with(netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), 80), Dest{})},
		{keys[0]: with(a, Dest{Weight: 1})}, {keys[0]: with(a, Dest{Method: 1})}, {keys[0]: with(a, Dest{Upper: 1})}, {keys[0]: with(a, Dest{Lower: 1})},
		{keys[0]: with(a, Dest{}), keys[1]: NewService(RoundRobin)}, {keys[0]: NewService(RoundRobin), keys[1]: with(a, Dest{})},
	} {
		if other, had := seen[table.Digest()]; had {
			t.Errorf("tables %d and %d have one digest", other, i)
		}
		seen[table.Digest()] = i
	}
}

// What names a service in a request reads back the same; whatever the kernel may write, reading it ends.
func FuzzWire(f *testing.F) {
	for _, k := range keys {
		msg := appendKey(nil, k)
		if got, _ := parseService(msg); got != k {
			f.Fatalf("%s reads back as %+v", k, got)
		}
		f.Add(msg, k.V6)
	}
	dest := nl.AppendAttr(nil, destAddr, netip.MustParseAddr("10.0.1.2").AsSlice())
	dest = nl.AppendAttr(dest, destPort, []byte{0, 80})
	dest = nl.AppendAttr(dest, destWeight, []byte{1, 0, 0, 0})
	dest = nl.AppendAttr(dest, destFamily, native16(unix.AF_INET))
	f.Add(nl.AppendAttr(nil, cmdDest, dest), true)
	f.Fuzz(func(t *testing.T, msg []byte, v6 bool) {
		k, s := parseService(msg)
		if k.Mark != 0 && (k.Addr.IsValid() || k.Proto != 0) {
			t.Errorf("a service is of a mark and of an address: %+v", k)
		}
		a, d := parseDest(msg, v6)
		s.Dests = map[netip.AddrPort]Dest{a: d}
		if table := (Table{k: s}); table.Digest() != table.clone().Digest() {
			t.Errorf("%v has two digests", table)
		}
	})
}
