package parse

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/swarmnet/swarmnet"
)

const sharedPrefix = "container:"

// attach reads the flags that say where the sandbox is connected.
func (in Sandbox) attach(out *swarmnet.SandboxSpec) error {
	networks := in.Networks
	if len(networks) == 0 {
		networks = []string{swarmnet.DriverBridge}
	}
	for _, s := range networks {
		mode, shared, err := networkMode(s)
		if err != nil {
			return err
		}
		if mode != swarmnet.ModeNetworks {
			if len(networks) > 1 {
				return fmt.Errorf("--network %s does not go with another --network: the sandbox has no stack of its own to connect", s)
			}
			out.Mode, out.SharedWith = mode, swarmnet.TaskID(shared)
			return nil
		}
		a, err := SandboxAttachment(s)
		if err != nil {
			return err
		}
		for _, b := range out.Networks {
			if a.Network == b.Network {
				return fmt.Errorf("--network %q: the network is given twice", s)
			}
		}
		out.Networks = append(out.Networks, a)
	}
	return in.toFirst(&out.Networks[0])
}

// toFirst puts --ip and its like on the first network, as docker does, unless that says the same by itself.
func (in Sandbox) toFirst(first *swarmnet.NetworkAttachment) error {
	flags, err := EndpointFlags(in.IP, in.IP6)
	if err != nil {
		return err
	}
	if len(flags) > 0 && len(first.Addrs) > 0 {
		return fmt.Errorf("--ip and --ip6 do not go with an address in --network: give it once")
	}
	if in.MAC != "" && !first.MAC.IsZero() {
		return fmt.Errorf("--mac-address does not go with mac-address= in --network: give it once")
	}
	if len(in.Aliases) > 0 && len(first.Aliases) > 0 {
		return fmt.Errorf("--network-alias does not go with alias= in --network: give them in one place")
	}
	first.Addrs = append(first.Addrs, flags...)
	for _, alias := range in.Aliases {
		if alias == "" {
			return errors.New("--network-alias \"\": a name is wanted")
		}
		first.Aliases = append(first.Aliases, alias)
	}
	if in.MAC != "" {
		if first.MAC, err = hostMAC(in.MAC); err != nil {
			return fmt.Errorf("--mac-address %w", err)
		}
	}
	return nil
}

func networkMode(s string) (mode swarmnet.NetworkMode, shared string, err error) {
	switch s {
	case swarmnet.DriverNone:
		return swarmnet.ModeNone, "", nil
	case swarmnet.DriverHost:
		return swarmnet.ModeHost, "", nil
	}
	if shared, ok := strings.CutPrefix(s, sharedPrefix); ok {
		if shared == "" || strings.ContainsAny(shared, ",=") {
			return 0, "", fmt.Errorf("--network %q: container:NAME is wanted, the name or id of a sandbox", s)
		}
		return swarmnet.ModeShared, shared, nil
	}
	return swarmnet.ModeNetworks, "", nil
}

// SandboxAttachment reads --network of `run`: NETWORK[,alias=NAME…][,ip=…][,ip6=…][,mac-address=…][,gw-priority=N], or the same with
// name=NETWORK. The network is still a reference.
func SandboxAttachment(s string) (swarmnet.NetworkAttachment, error) {
	var a swarmnet.NetworkAttachment
	seen := map[string]bool{}
	for i, field := range strings.Split(s, ",") {
		k, v, ok := strings.Cut(field, "=")
		if i == 0 && !ok {
			k, v, ok = "name", field, true
		}
		switch {
		case !ok:
			return a, fmt.Errorf("--network %q: %q is not understood: KEY=VALUE is wanted", s, field)
		case v == "":
			return a, fmt.Errorf("--network %q: %s has no value", s, k)
		case seen[k] && k != "alias":
			return a, fmt.Errorf("--network %q: %s is given twice", s, k)
		}
		seen[k] = true
		if err := setAttachment(&a, k, v); err != nil {
			return a, fmt.Errorf("--network %q: %w", s, err)
		}
	}
	if a.Network == "" {
		return a, fmt.Errorf("--network %q: the network's name is missing", s)
	}
	switch a.Network {
	case swarmnet.DriverHost, swarmnet.DriverNone:
		return a, fmt.Errorf("--network %q: %s takes no settings", s, a.Network)
	}
	return a, nil
}

func setAttachment(a *swarmnet.NetworkAttachment, key, value string) (err error) {
	switch key {
	case "name":
		a.Network = swarmnet.NetworkID(value)
	case "alias":
		a.Aliases = append(a.Aliases, value)
	case "ip", "ip6":
		var addr netip.Addr
		if addr, err = hostAddr(key, value); err == nil {
			a.Addrs = append(a.Addrs, addr)
		}
	case "mac-address":
		if a.MAC, err = hostMAC(value); err != nil {
			err = fmt.Errorf("%s %w", key, err)
		}
	case "gw-priority":
		if a.GatewayPriority, err = GatewayPriority(value); err != nil {
			err = fmt.Errorf("%s %w", key, err)
		}
	default:
		err = fmt.Errorf("there is no key %q: name, alias, ip, ip6, mac-address and gw-priority are known", key)
	}
	return err
}

// EndpointFlags reads --ip and --ip6, each of which may be empty.
func EndpointFlags(ip, ip6 string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, f := range []struct{ flag, value string }{{"ip", ip}, {"ip6", ip6}} {
		if f.value == "" {
			continue
		}
		a, err := hostAddr(f.flag, f.value)
		if err != nil {
			return nil, fmt.Errorf("--%w", err)
		}
		out = append(out, a)
	}
	return out, nil
}

// hostAddr reads an address of the family that the key says. The zone of a link means nothing in a sandbox.
func hostAddr(key, s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	family := map[string]string{"ip": "IPv4", "ip6": "IPv6"}[key]
	switch {
	case err != nil || a.Zone() != "" || a.Is4() != (key == "ip") || a.Is4In6():
		return a, fmt.Errorf("%s %q is not an %s address", key, s, family)
	case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback():
		return a, fmt.Errorf("%s %s is not an address for a sandbox", key, s)
	}
	return a, nil
}

// hostMAC reads an Ethernet address that one interface can have.
func hostMAC(s string) (swarmnet.MAC, error) {
	m, err := swarmnet.ParseMAC(s)
	switch {
	case err != nil:
		return m, err
	case m[0]&1 != 0:
		return m, fmt.Errorf("%q is the Ethernet address of a group: the first octet must be even", s)
	case m.IsZero():
		return m, fmt.Errorf("%q is not an address for an interface", s)
	}
	return m, nil
}

// GatewayPriority reads a priority: a whole number of 32 bits, negative ones too.
func GatewayPriority(s string) (int, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	return int(n), nil
}
