package driver

import (
	"encoding/json"
	"net/netip"

	"github.com/swarmnet/swarmnet"
)

// Wish is what a driver of Addresses Theirs is asked for: one interface in one sandbox.
type Wish struct {
	Network swarmnet.NetworkID
	Name    string // of the network, for messages
	// Conf is the network's configuration (swarmnet.Network.Conf), BinDir where its plugins are; empty: where they are by default.
	Conf, BinDir string
	// Addrs and MAC are those that a person asked for.
	Addrs []netip.Addr
	MAC   swarmnet.MAC
	// Ports are to be published by the plugins.
	Ports []swarmnet.PortSpec
}

// Given is what such a driver gave: the interface has it already.
type Given struct {
	Addrs []netip.Prefix
	MAC   swarmnet.MAC // zero: the interface has none
	// Gateways are those of the default routes, at most one of each family.
	Gateways []netip.Addr
	DNS      swarmnet.DNSConfig
}

// Refusal is an error of a driver that asking again does not mend: whoever wanted the interface is to be told.
type Refusal struct{ Text string }

func (r *Refusal) Error() string { return r.Text }

// The capabilities of CNI plugins that we use (the CNI project's CONVENTIONS.md, "dynamic plugin specific fields").
const (
	CapPorts = "portMappings"
	CapIPs   = "ips"
	CapMAC   = "mac"
)

// Capable reports whether one of the plugins of a CNI configuration declares a capability.
func Capable(conf, capability string) bool {
	var list struct {
		Plugins []struct{ Capabilities map[string]bool }
	}
	if json.Unmarshal([]byte(conf), &list) != nil {
		return false
	}
	for _, p := range list.Plugins {
		if p.Capabilities[capability] {
			return true
		}
	}
	return false
}
