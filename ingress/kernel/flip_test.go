package kernel

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// A connection that is made in the very moment in which the backends of a virtual address change gets one of them: a packet may see the
// old rules and the new elements. Of 1,000 changes a few cost a connection when nothing saw to that.
func TestKernelVIPWhileItsBackendsChange(t *testing.T) {
	kerneltest.Require(t, kerneltest.NFTables)
	ns := kerneltest.NewNamespace(t)
	var all []netip.Addr
	ns.With(func(c *nl.Conn) error { // what is sent to the virtual address itself gets no answer
		if err := c.AddVeth(1500, nl.Veth{Name: "eth0"}, nl.Veth{Name: "peer"}); err != nil {
			return err
		}
		l := ns.Link("eth0")
		for i := range byte(4) {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, 0, 10 + i}), 24)
			all = append(all, p.Addr())
			if err := c.AddAddr(l.Index, p); err != nil {
				return err
			}
		}
		return errors.Join(c.SetUp(ns.Link("peer").Index), c.SetUp(l.Index))
	})
	vip := netip.MustParseAddr("10.9.0.99")
	k := NewVIPs(Config{})
	set := func(n int) { // the others drain: who is with one of them stays, while what leads to who is gone ends at once
		t.Helper()
		v := ingress.VIP{Addr: vip, Backends: slices.Clone(all[:n]), Draining: slices.Clone(all[n:])}
		if _, err := k.Reconcile(context.Background(), ns.Path, ingress.VIPs{v}); err != nil {
			t.Fatal(err)
		}
	}
	set(4)
	var ln net.Listener
	ns.Do(func() (err error) { ln, err = net.Listen("tcp4", ":80"); return err })
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	var clients sync.WaitGroup
	var stop atomic.Bool
	var made, lost atomic.Int32
	for range 4 {
		clients.Go(func() {
			ns.Do(func() error {
				for !stop.Load() {
					if err := oneEnd(netip.AddrPortFrom(vip, 80)); err != nil {
						lost.Add(1)
						t.Errorf("after %d connections: %v", made.Load(), err)
						return nil
					}
					made.Add(1)
				}
				return nil
			})
		})
	}
	changes := 0
	for began := time.Now(); changes < 200 && lost.Load() == 0 && (changes < 20 || time.Since(began) < 10*time.Second); changes++ { // fewer on a slow machine
		set([]int{4, 2, 3, 1}[changes%4])
	}
	stop.Store(true)
	clients.Wait()
	t.Logf("%d connections during %d changes", made.Load(), changes)
}

// oneEnd makes a connection, which the server ends.
func oneEnd(to netip.AddrPort) error {
	c, err := net.DialTimeout("tcp4", to.String(), patience)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c)
	return err
}
