// Package driver says what the drivers of networks are: which scope their networks have, who gives addresses on them, what of ours their
// members pass through, and which options they take. Whoever makes, checks, completes or shows a network asks here; nobody else knows
// drivers apart by their names. The package is pure. What a driver does in the kernel is elsewhere: bridge and overlay are bridges in
// the fabric (package overlay), macvlan and cni make a sandbox's interface themselves (the packages below this one).
package driver

import (
	"slices"

	"github.com/swarmnet/swarmnet"
)

// Driver is what is to be known of one driver.
type Driver struct {
	Name string
	// Summary is half a line for help texts.
	Summary string
	// Cluster says that its networks are agreed by the managers; those of others are one node's own.
	Cluster bool
	// Predefined says that each node has one network of it, which cannot be removed; Only, that nobody can make another.
	Predefined, Only bool
	// Stack says that it stands for a whole network stack, chosen when a sandbox is made: nobody has an endpoint on it.
	Stack bool
	// Direct says that its members are on a network outside: they do not pass the fabric, and no published port of ours leads to them.
	Direct bool
	// Addresses says who gives its members their addresses.
	Addresses Addresses
	Options   []Option
}

// Addresses says who gives the members of a network their addresses.
type Addresses uint8

const (
	Ours   Addresses = iota // we do, from a subnet that is named or chosen
	Named                   // we do, from a subnet that must be named: it is of a network outside
	Theirs                  // the driver does, when it makes the interface
	Nobody                  // there are no members
)

// all is never changed. The driver that is meant when none is named comes first.
var all = []Driver{
	{
		Name: swarmnet.DriverBridge, Summary: "a switch on this node, with a way out", Predefined: true,
		Options: []Option{
			{Name: ICC, Docker: "com.docker.network.bridge.enable_icc", Help: "false keeps the members from each other", Values: truth},
			{Name: Masquerade, Docker: "com.docker.network.bridge.enable_ip_masquerade", Help: "false lets members leave the host under their own addresses", Values: truth},
			mtu,
		},
	},
	{
		Name: swarmnet.DriverMacvlan, Summary: "interfaces on a network of this host's", Addresses: Named, Direct: true,
		Options: []Option{
			{Name: Parent, Help: "the host's interface; PARENT.ID is made, a VLAN", Required: true},
			{Name: MacvlanMode, Help: "how members see each other", Values: []string{"bridge", "vepa", "private", "passthru"}},
			mtu,
		},
	},
	{
		Name: swarmnet.DriverCNI, Summary: "interfaces made by CNI plugins", Addresses: Theirs, Direct: true,
		Options: []Option{
			{Name: Conf, Help: "file with the configuration, .conflist or .conf; it is read once", Required: true},
			{Name: BinDir, Help: "directories of the plugins, separated by colons, instead of the daemon's CNI_PATH or /opt/cni/bin"},
		},
	},
	{
		Name: swarmnet.DriverOverlay, Summary: "a switch across the cluster", Cluster: true,
		Options: []Option{
			{Name: swarmnet.OptionVNI, Help: "its VXLAN identifier, instead of one that is chosen"},
			mtu,
		},
	},
	{Name: swarmnet.DriverHost, Summary: "the host's own stack", Predefined: true, Only: true, Stack: true, Addresses: Nobody},
	{Name: swarmnet.DriverNone, Summary: "loopback alone", Predefined: true, Only: true, Stack: true, Addresses: Nobody},
}

// All are the drivers, the one that is meant when none is named first.
func All() []Driver { return slices.Clone(all) }

// Find returns a driver by its name.
func Find(name string) (Driver, bool) {
	i := slices.IndexFunc(all, func(d Driver) bool { return d.Name == name })
	if i < 0 {
		return Driver{}, false
	}
	return all[i], true
}

// Of is the driver of a network; of an unknown one the zero Driver.
func Of(n swarmnet.Network) Driver {
	d, _ := Find(n.Spec.Driver)
	return d
}

// Predefined are the names of the networks that every node has, each that of its driver.
func Predefined() []string { return names(func(d Driver) bool { return d.Predefined }) }

// Makeable are the names of the drivers that networks can be made of.
func Makeable() []string { return names(func(d Driver) bool { return !d.Only }) }

func names(keep func(Driver) bool) []string {
	var out []string
	for _, d := range all {
		if keep(d) {
			out = append(out, d.Name)
		}
	}
	return out
}
