package parse

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/swarmnet/swarmnet"
)

// Attachment reads --network: NETWORK[,alias=NAME…] or name=NETWORK,alias=NAME. The network is still a reference.
func Attachment(s string) (swarmnet.NetworkAttachment, error) {
	var a swarmnet.NetworkAttachment
	for i, field := range strings.Split(s, ",") {
		k, v, ok := strings.Cut(field, "=")
		switch {
		case i == 0 && !ok && field != "":
			a.Network = swarmnet.NetworkID(field)
		case ok && k == "name" && v != "" && a.Network == "":
			a.Network = swarmnet.NetworkID(v)
		case ok && k == "alias" && v != "":
			a.Aliases = append(a.Aliases, v)
		default:
			return a, fmt.Errorf("--network %q: %q is not understood: NETWORK[,alias=NAME…] is wanted", s, field)
		}
	}
	if a.Network == "" {
		return a, fmt.Errorf("--network %q: the network's name is missing", s)
	}
	return a, nil
}

// Attachments reads every --network of a command.
func Attachments(args []string) ([]swarmnet.NetworkAttachment, error) {
	var out []swarmnet.NetworkAttachment
	for _, s := range args {
		a, err := Attachment(s)
		if err != nil {
			return nil, err
		}
		for _, b := range out {
			if a.Network == b.Network {
				return nil, fmt.Errorf("--network %q: the network is given twice", s)
			}
		}
		out = append(out, a)
	}
	return out, nil
}

// Labels reads KEY[=VALUE] flags of one name. A key twice is refused.
func Labels(flag string, args []string) (map[string]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(args))
	for _, s := range args {
		k, v, _ := strings.Cut(s, "=")
		if strings.TrimSpace(k) == "" {
			return nil, fmt.Errorf("--%s %q: the key is missing: KEY=VALUE is wanted", flag, s)
		}
		if _, ok := out[k]; ok {
			return nil, fmt.Errorf("--%s %q: %s is given twice", flag, s, k)
		}
		out[k] = v
	}
	return out, nil
}

// Env reads --env: KEY=VALUE, or KEY alone for the caller's value, which may not be missing. The last value of a key counts.
func Env(args []string, lookup func(string) (string, bool)) ([]string, error) {
	var out []string
	index := map[string]int{}
	for _, s := range args {
		k, _, ok := strings.Cut(s, "=")
		if k == "" {
			return nil, fmt.Errorf("--env %q: the name is missing: KEY=VALUE is wanted", s)
		}
		if !ok {
			v, found := lookup(k)
			if !found {
				return nil, fmt.Errorf("--env %q: there is no such variable here to take the value from: give KEY=VALUE", s)
			}
			s = k + "=" + v
		}
		if i, dup := index[k]; dup {
			out[i] = s
			continue
		}
		index[k] = len(out)
		out = append(out, s)
	}
	return out, nil
}

// Host reads an entry of the hosts file from a flag: NAME:ADDRESS, docker's form, or NAME=ADDRESS.
func Host(flag, s string) (swarmnet.HostEntry, error) {
	i := strings.IndexAny(s, ":=")
	if i <= 0 {
		return swarmnet.HostEntry{}, fmt.Errorf("--%s %q: NAME:ADDRESS is wanted", flag, s)
	}
	a, err := netip.ParseAddr(strings.Trim(s[i+1:], "[]"))
	if err != nil {
		return swarmnet.HostEntry{}, fmt.Errorf("--%s %q: %q is not an IP address", flag, s, s[i+1:])
	}
	return swarmnet.HostEntry{Name: s[:i], Addr: a}, nil
}

// Addrs reads IP addresses of one flag.
func Addrs(flag string, args []string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, s := range args {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("--%s %q is not an IP address", flag, s)
		}
		out = append(out, a)
	}
	return out, nil
}

// Prefix reads a subnet; bits beyond its length are refused, since nobody can tell which was meant.
func Prefix(flag, s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("--%s %q is not a subnet: ADDRESS/LENGTH is wanted", flag, s)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("--%s %q has bits set beyond its length: is %s meant?", flag, s, p.Masked())
	}
	return p, nil
}

// Scale reads SERVICE=REPLICAS.
func Scale(s string) (service string, replicas uint32, err error) {
	name, n, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return "", 0, fmt.Errorf("%q: SERVICE=REPLICAS is wanted", s)
	}
	v, err := strconv.ParseUint(n, 10, 32)
	if err != nil || strconv.FormatUint(v, 10) != n {
		return "", 0, fmt.Errorf("%q: %q is not a number of replicas", s, n)
	}
	return name, uint32(v), nil
}
