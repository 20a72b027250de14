package kernel

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nl"
)

func TestKernelVIPv6(t *testing.T) {
	kerneltest.Require(t, kerneltest.NFTables, kerneltest.IPv6)
	ns := kerneltest.NewNamespace(t)
	ns.With(func(c *nl.Conn) error { // with a peer: an interface without carrier may not take its own addresses for local ones
		if err := c.AddVeth(1500, nl.Veth{Name: "eth0"}, nl.Veth{Name: "peer"}); err != nil {
			return err
		}
		l := ns.Link("eth0")
		return errors.Join(c.AddAddr(l.Index, netip.MustParsePrefix("fd00:1::10/64")), c.SetUp(ns.Link("peer").Index), c.SetUp(l.Index))
	})
	vip := ingress.VIPs{{Addr: netip.MustParseAddr("fd00:1::99"), Backends: []netip.Addr{netip.MustParseAddr("fd00:1::10")}}}
	k := NewVIPs(Config{})
	for _, want := range []bool{true, false} {
		if n, err := k.Reconcile(context.Background(), ns.Path, vip); err != nil || (n > 0) != want {
			t.Fatalf("%d changes: %v", n, err)
		}
	}
	var ln net.Listener
	ns.Do(func() (err error) { ln, err = net.Listen("tcp6", "[fd00:1::10]:80"); return err })
	defer ln.Close()
	go func() {
		if c, err := ln.Accept(); err == nil {
			_, _ = io.WriteString(c, "hello")
			c.Close()
		}
	}()
	ns.Do(func() error {
		c, err := net.DialTimeout("tcp6", "[fd00:1::99]:80", patience)
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		b, err := io.ReadAll(c)
		if string(b) != "hello" {
			t.Errorf("read %q", b)
		}
		return err
	})
}
