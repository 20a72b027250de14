package swarmnet

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Endpoint is one attachment of one sandbox to one network: one interface.
type Endpoint struct {
	ID      EndpointID
	Meta    Meta
	Network NetworkID
	Task    TaskID
	Service ServiceID // empty for a sandbox outside services, unless it has joined an external one that is on the network
	Node    NodeID    // empty until the task is placed
	MAC     MAC
	// Addrs are the addresses with the prefix length of their subnet, at most one of each family.
	Addrs   []netip.Prefix
	Aliases []string
	// DefaultRoute is set on the one endpoint of a sandbox whose network carries its default route. Published ports
	// are balanced to the addresses of that endpoint, so that a server bound to the wildcard answers from them.
	DefaultRoute bool
	// Gateways and DNS are what a driver that gives addresses itself gave beside them; empty where addresses are ours.
	Gateways []netip.Addr
	DNS      DNSConfig
}

// Addr returns the endpoint's address of the same family as like, or the zero Addr.
func (e Endpoint) Addr(is6 bool) netip.Addr {
	for _, p := range e.Addrs {
		if p.Addr().Is6() == is6 {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// Equal reports whether two endpoints are the same. It is called for ten thousand at a time.
func (e Endpoint) Equal(f Endpoint) bool {
	return e.ID == f.ID && e.Meta == f.Meta && e.Network == f.Network && e.Task == f.Task && e.Service == f.Service && e.Node == f.Node && e.MAC == f.MAC &&
		e.DefaultRoute == f.DefaultRoute && slices.Equal(e.Addrs, f.Addrs) && slices.Equal(e.Aliases, f.Aliases) && slices.Equal(e.Gateways, f.Gateways) &&
		slices.Equal(e.DNS.Servers, f.DNS.Servers) && slices.Equal(e.DNS.Search, f.DNS.Search) && slices.Equal(e.DNS.Options, f.DNS.Options)
}

func (e Endpoint) String() string {
	addrs := make([]string, len(e.Addrs))
	for i, a := range e.Addrs {
		addrs[i] = a.String()
	}
	return fmt.Sprintf("endpoint %s mac=%s addr=%s", ShortID(e.ID), e.MAC, strings.Join(addrs, ","))
}
