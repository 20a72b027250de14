package nl_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// One listener hears its own namespace and that of the other end of a pair, each under its number, and nothing of what is nobody's.
func TestKernelEvents(t *testing.T) {
	kerneltest.Require(t, kerneltest.Bridge)
	here, there := kerneltest.NewNamespace(t), kerneltest.NewNamespace(t)
	kerneltest.Veth(t, 1500, kerneltest.End{NS: here, Name: "a"}, kerneltest.End{NS: there, Name: "b"})
	e, err := nl.ListenLinks(here.Path, nl.Listen{Peers: true, Neighbours: true})
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan nl.Event, 100)
	ended := make(chan error, 1)
	go func() {
		for {
			if err := e.Next(func(ev nl.Event) { heard <- ev }); err != nil {
				ended <- err
				return
			}
		}
	}()
	t.Cleanup(func() { e.Close(); <-ended })
	var number int
	here.With(func(c *nl.Conn) error {
		id, ok := c.NSID(there.Path)
		if !ok {
			t.Fatal("the other end's namespace has no number")
		}
		number = id
		return nil
	})
	index := here.Link("a").Index
	other := there.Link("b").Index
	dst := netip.MustParsePrefix("10.9.0.0/24")
	for _, change := range []struct {
		what string
		ns   *kerneltest.NS
		from int
		do   func(*nl.Conn) error
	}{
		{"route", here, nl.Here, func(c *nl.Conn) error { return c.ReplaceRoute(nl.Route{Dst: dst, Index: index}) }},
		{"route removed", here, nl.Here, func(c *nl.Conn) error { return c.DelRoute(nl.Route{Dst: dst, Index: index}) }},
		{"neighbour", here, nl.Here, func(c *nl.Conn) error {
			return c.SetNeighs([]nl.Neigh{{Index: index, Addr: netip.MustParseAddr("10.9.0.1"), MAC: swarmnet.MAC{2, 1}}})
		}},
		{"MTU there", there, number, func(c *nl.Conn) error { return c.SetMTU(other, 1400) }},
		{"address there", there, number, func(c *nl.Conn) error { return c.AddAddr(other, netip.MustParsePrefix("10.9.1.1/24")) }},
		{"setting there", there, number, func(c *nl.Conn) error { return c.Sysctl("net/ipv4/conf/b/rp_filter", "1") }},
	} {
		for len(heard) > 0 {
			<-heard
		}
		change.ns.With(change.do)
		deadline := time.After(5 * time.Second)
		for found := false; !found; {
			select {
			case ev := <-heard:
				found = ev.NSID == change.from
			case <-deadline:
				t.Fatalf("%s: nothing was heard", change.what)
			}
		}
	}
}
