package main

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// stage is a network of hosts on one switch, all namespaces of one process; what is on them others build.
type stage struct {
	dir   string
	names []string
}

func newStage() (*stage, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	s := &stage{dir: dir}
	if err := s.namespace("switch"); err != nil {
		return s, err
	}
	return s, s.in("switch", func(c *nl.Conn) error {
		if err := c.AddBridge("switch", swarmnet.MAC{}, 1500); err != nil {
			return err
		}
		br, _, err := c.Link("switch")
		return errors.Join(err, c.SetUp(br.Index))
	})
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// namespace makes one, with loopback.
func (s *stage) namespace(name string) error {
	if _, err := netns.Create(s.dir, name); err != nil {
		return err
	}
	s.names = append(s.names, name)
	return s.in(name, func(c *nl.Conn) error {
		lo, _, err := c.Link("lo")
		return errors.Join(err, c.SetUp(lo.Index))
	})
}

func (s *stage) in(name string, fn func(*nl.Conn) error) error {
	c, err := nl.Open(s.path(name))
	if err != nil {
		return err
	}
	defer c.Close()
	return fn(c)
}

// host adds a host to the switch, with an address on eth0.
func (s *stage) host(name string, addr netip.Addr) error {
	if err := s.namespace(name); err != nil {
		return err
	}
	return s.plug("switch", "switch", name, swarmnet.MAC{}, 1500, netip.PrefixFrom(addr, 24))
}

// plug joins a namespace, by its eth0, to a bridge in another.
func (s *stage) plug(where, bridge, name string, mac swarmnet.MAC, mtu int, addr netip.Prefix) error {
	return s.in(where, func(c *nl.Conn) error {
		return s.in(name, func(in *nl.Conn) error {
			if err := c.AddVeth(mtu, nl.Veth{Name: name}, nl.Veth{Name: "eth0", MAC: mac, NS: in.NS()}); err != nil {
				return err
			}
			br, _, err1 := c.Link(bridge)
			port, _, err2 := c.Link(name)
			eth, _, err3 := in.Link("eth0")
			return errors.Join(err1, err2, err3, c.SetMaster(port.Index, br.Index), c.SetUp(port.Index), in.AddAddr(eth.Index, addr), in.SetUp(eth.Index))
		})
	})
}

// gateway is a namespace's default route by its eth0.
func (s *stage) gateway(name string, via netip.Addr) error {
	return s.in(name, func(c *nl.Conn) error {
		eth, _, err := c.Link("eth0")
		return errors.Join(err, c.ReplaceRoute(nl.Route{Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: via, Index: eth.Index}))
	})
}

func (s *stage) close(context.Context) (err error) {
	for _, name := range s.names {
		err = errors.Join(err, netns.Delete(s.dir, name))
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
