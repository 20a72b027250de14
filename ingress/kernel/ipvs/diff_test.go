package ipvs

import (
	"maps"
	"net/netip"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// do is what the kernel does with an op.
func (t Table) do(o Op) {
	switch o.Kind {
	case AddService, SetService:
		dests := t[o.Key].Dests
		if dests == nil {
			dests = map[netip.AddrPort]Dest{}
		}
		t[o.Key] = Service{Scheduler: o.Service.Scheduler, Flags: o.Service.Flags, Dests: dests}
	case AddDest, RaiseDest, LowerDest:
		t[o.Key].Dests[o.Addr] = o.Dest
	case DelDest:
		delete(t[o.Key].Dests, o.Addr)
	case DelService:
		delete(t, o.Key)
	}
}

func (t Table) clone() Table {
	out := Table{}
	for k, s := range t {
		s.Dests = maps.Clone(s.Dests)
		out[k] = s
	}
	return out
}

// open says how many destinations of a service take new connections.
func (t Table) open(k Key) (n int) {
	for _, d := range t[k].Dests {
		if d.Weight > 0 {
			n++
		}
	}
	return n
}

var keys = []Key{
	At(unix.IPPROTO_TCP, netip.MustParseAddrPort("169.254.77.2:80")), At(unix.IPPROTO_UDP, netip.MustParseAddrPort("169.254.77.2:80")),
	At(unix.IPPROTO_TCP, netip.MustParseAddrPort("[fd00::2]:80")), Marked(0x77000002, false), Marked(0x77000002, true),
}

func genTable(t *rapid.T, what string) Table {
	out := Table{}
	for _, k := range keys {
		if !rapid.Bool().Draw(t, what) {
			continue
		}
		s := NewService(rapid.SampledFrom(Schedulers).Draw(t, "scheduler"))
		for i := range byte(4) {
			if rapid.Bool().Draw(t, "dest") {
				s.Dests[netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, i}), 80)] = Dest{
					Weight: rapid.IntRange(0, 1).Draw(t, "weight"), Upper: rapid.Uint32Range(0, 1).Draw(t, "limit"),
				}
			}
		}
		out[k] = s
	}
	return out
}

// Whatever is there, the ops make what is wanted of it, and then there is nothing to do. On the way, a service that takes connections before and
// after takes them all the time, and no draining destination is let go of before others are there.
func TestDiff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have, want := genTable(t, "have"), genTable(t, "want")
		now := have.clone()
		var last Op
		for _, o := range Diff(have, want) {
			if o.Kind < last.Kind {
				t.Fatalf("%s comes after %s", o, last)
			}
			last = o
			now.do(o)
			for k := range want {
				if have.open(k) > 0 && want.open(k) > 0 && now.open(k) == 0 {
					t.Fatalf("after %s, %s takes no connections", o, k)
				}
			}
		}
		if !reflect.DeepEqual(now, want) {
			t.Fatalf("it is %v, wanted was %v", now, want)
		}
		if again := Diff(now, want); len(again) > 0 {
			t.Fatalf("a second time: %v", again)
		}
	})
}

func TestDiffWords(t *testing.T) {
	a, b := netip.MustParseAddrPort("10.0.1.2:80"), netip.MustParseAddrPort("10.0.1.3:80")
	tcp, gone, mark := keys[0], keys[1], keys[4]
	have := Table{
		tcp:  {Scheduler: RoundRobin, Dests: map[netip.AddrPort]Dest{a: {Weight: 1, Conns: 7}}},
		gone: NewService(RoundRobin),
	}
	drain, fresh := NewService(SourceHash), NewService(Maglev)
	drain.Dests[a], drain.Dests[b] = Dest{}, Dest{Weight: 1}
	var got []string
	for _, o := range Diff(have, Table{tcp: drain, mark: fresh}) {
		got = append(got, o.String())
	}
	want := []string{
		"ipvs fwmark 0x77000002 ipv6 scheduler mh",
		"ipvs tcp 169.254.77.2:80 scheduler sh",
		"ipvs tcp 169.254.77.2:80 -> 10.0.1.3:80 weight 1",
		"ipvs tcp 169.254.77.2:80 -> 10.0.1.2:80 weight 0",
		"ipvs udp 169.254.77.2:80",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A hashing scheduler that finds its destination draining must take another one.
func TestHashingSchedulersFallBack(t *testing.T) {
	for _, s := range Schedulers {
		if hashes := s == SourceHash || s == Maglev; (NewService(s).Flags&flagFallback != 0) != hashes {
			t.Errorf("%s: flags %#x", s, NewService(s).Flags)
		}
		if parsed, err := ParseScheduler(string(s)); err != nil || parsed != s {
			t.Errorf("%s is read as %s: %v", s, parsed, err)
		}
	}
}

func TestRetired(t *testing.T) {
	a, b := netip.MustParseAddrPort("10.0.1.2:80"), netip.MustParseAddrPort("10.0.1.3:80")
	busy, idle := NewService(LeastConnection), NewService(LeastConnection)
	busy.Dests[a], busy.Dests[b] = Dest{Weight: 1, Conns: 1}, Dest{Weight: 1}
	idle.Dests[a] = Dest{Weight: 1}
	left := NewService(LeastConnection)
	left.Dests[a] = Dest{}
	if got, want := Retired(Table{keys[0]: busy, keys[1]: idle}), (Table{keys[0]: left}); !reflect.DeepEqual(got, want) {
		t.Errorf("left is %v, want %v", got, want)
	}
}
