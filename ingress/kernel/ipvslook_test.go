package kernel

import (
	"context"
	"net/netip"
	"reflect"
	"testing"

	mobyipvs "github.com/moby/ipvs"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/ingress/kernel/ipvs"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
)

// allSorts is a table with services of each sort, one with more destinations than are read at once.
func allSorts() ipvs.Table {
	out := ipvs.Table{}
	add := func(k ipvs.Key, s ipvs.Scheduler, net string, n int) {
		service := ipvs.NewService(s)
		addr := netip.MustParseAddr(net)
		for i := range n {
			addr = addr.Next()
			service.Dests[netip.AddrPortFrom(addr, uint16(8000+i))] = ipvs.Dest{Weight: i % 3, Method: []uint32{0, 3}[i%2], Upper: uint32(3 + i%5), Lower: uint32(i % 2)}
		}
		out[k] = service
	}
	at := netip.MustParseAddrPort
	add(ipvs.At(unix.IPPROTO_TCP, at("169.254.77.2:8080")), ipvs.RoundRobin, "10.0.1.0", 100)
	add(ipvs.At(unix.IPPROTO_UDP, at("169.254.77.2:8080")), ipvs.Maglev, "10.0.1.0", 2)
	add(ipvs.At(unix.IPPROTO_SCTP, at("169.254.77.2:8080")), ipvs.LeastConnection, "10.0.1.0", 1)
	add(ipvs.At(unix.IPPROTO_TCP, at("[fd00:5377:6d00::2]:8080")), ipvs.SourceHash, "fd00::", 30)
	add(ipvs.Marked(0x77000002, false), ipvs.WeightedRoundRobin, "10.0.2.0", 3)
	add(ipvs.Marked(0x77000002, true), ipvs.RoundRobin, "fd01::", 3)
	add(ipvs.Marked(0x77000004, false), ipvs.RoundRobin, "10.0.2.0", 0)
	return out
}

// What is made is what is seen, by us and by another reader, and its digest is the wish's until anything of it differs.
func TestKernelIPVSDigest(t *testing.T) {
	kerneltest.Require(t, kerneltest.IPVS)
	ns := kerneltest.NewNamespace(t)
	c, want := services(t, ns.Path), allSorts()
	apply := func(ops []ipvs.Op) {
		t.Helper()
		if _, err := c.Apply(context.Background(), ops); err != nil {
			t.Fatal(err)
		}
	}
	digest := func(ours func(ipvs.Key) bool) ipvs.Digest {
		t.Helper()
		d, err := c.Digest(ours)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if digest(whatever) != (ipvs.Table{}).Digest() {
		t.Error("a namespace without services has the digest of one with some")
	}
	apply(ipvs.Diff(nil, want))
	have, err := c.Observe(whatever)
	if err != nil || !reflect.DeepEqual(have, want) {
		t.Fatalf("seen is %v, made was %v: %v", have, want, err)
	}
	raw, err := mobyipvs.New(ns.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	list, err := raw.GetServices()
	if err != nil || len(list) != len(want) {
		t.Fatalf("another reader sees %d services, made were %d: %v", len(list), len(want), err)
	}
	dests := 0
	for _, s := range list {
		of, err := raw.GetDestinations(s)
		if err != nil {
			t.Fatal(err)
		}
		dests += len(of)
	}
	if dests != 139 {
		t.Errorf("another reader sees %d destinations, made were 139", dests)
	}
	right := want.Digest()
	if digest(whatever) != right {
		t.Error("what was made has another digest than what was wanted")
	}
	without := ipvs.Marked(0x77000002, true)
	rest := allSorts()
	delete(rest, without)
	if digest(func(k ipvs.Key) bool { return k != without }) != rest.Digest() {
		t.Error("what is not ours is in the digest")
	}
	// One thing at a time: each destination's every field, each service.
	for k, s := range want {
		for _, ops := range alterations(k, s) {
			apply(ops)
			if digest(whatever) == right {
				t.Errorf("%v is not noticed", ops)
			}
			have, err := c.Observe(whatever)
			if err != nil {
				t.Fatal(err)
			}
			apply(ipvs.Diff(have, want))
			if digest(whatever) != right {
				t.Errorf("%v is not put right", ops)
			}
		}
	}
}

// alterations are what somebody may do to a service and to one of its destinations.
func alterations(k ipvs.Key, s ipvs.Service) [][]ipvs.Op {
	other := ipvs.NewService(ipvs.LeastConnection)
	if s.Scheduler == ipvs.LeastConnection {
		other = ipvs.NewService(ipvs.RoundRobin)
	}
	onePacket := s
	onePacket.Flags |= 0x04 // IP_VS_SVC_F_ONEPACKET
	out := [][]ipvs.Op{
		{{Kind: ipvs.DelService, Key: k}}, {{Kind: ipvs.SetService, Key: k, Service: other}}, {{Kind: ipvs.SetService, Key: k, Service: onePacket}},
	}
	for a, d := range s.Dests {
		heavy, limited, refilled := d, d, d
		heavy.Weight, limited.Upper, refilled.Lower = d.Weight+1, d.Upper+9, d.Lower+1
		for _, dest := range []ipvs.Dest{heavy, limited, refilled} {
			out = append(out, []ipvs.Op{{Kind: ipvs.RaiseDest, Key: k, Addr: a, Dest: dest}})
		}
		out = append(out, []ipvs.Op{{Kind: ipvs.DelDest, Key: k, Addr: a}}, []ipvs.Op{
			{Kind: ipvs.DelDest, Key: k, Addr: a}, {Kind: ipvs.AddDest, Key: k, Addr: netip.AddrPortFrom(a.Addr(), a.Port()+1000), Dest: d},
		})
		break
	}
	return out
}
