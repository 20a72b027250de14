package nl_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// An IPv6 address is the kernel's own when AddAddr returns, although the kernel sees to that later: who asks for it at once is not sent to the link.
func TestKernelAddressIsOwnAtOnce(t *testing.T) {
	kerneltest.Require(t, kerneltest.IPv6)
	ns := kerneltest.NewNamespace(t)
	ns.With(func(c *nl.Conn) error {
		if err := c.AddVeth(1500, nl.Veth{Name: "eth0"}, nl.Veth{Name: "peer"}); err != nil {
			return err
		}
		return errors.Join(c.SetUp(ns.Link("peer").Index), c.SetUp(ns.Link("eth0").Index))
	})
	eth0 := ns.Link("eth0")
	ns.With(func(c *nl.Conn) error {
		for i := range 100 {
			p := netip.MustParsePrefix(fmt.Sprintf("fd00:%x::1/64", i+1))
			if err := c.AddAddr(eth0.Index, p); err != nil {
				return err
			}
			ns.Do(func() error { return asksItself(p.Addr()) })
		}
		return nil
	})
}

func asksItself(a netip.Addr) error {
	l, err := net.Listen("tcp6", netip.AddrPortFrom(a, 0).String())
	if err != nil {
		return err
	}
	defer l.Close()
	c, err := net.Dial("tcp6", l.Addr().String())
	if err != nil {
		return err
	}
	return c.Close()
}
