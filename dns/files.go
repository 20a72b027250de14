package dns

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/swarmnet/swarmnet"
)

// ResolvConf is the resolv.conf of a sandbox (resolv.conf(5)). Search domains and options that the sandbox does not name itself are
// the host's; the search domain "." means none. ndots is 0 unless asked for otherwise: names of services have no dot and must be tried as they are, first.
func ResolvConf(cfg swarmnet.DNSConfig, hostResolv []byte) []byte {
	_, search, options := parseResolvConf(hostResolv)
	options = slices.DeleteFunc(options, isNdots)
	if len(cfg.Search) > 0 {
		search = slices.DeleteFunc(slices.Clone(cfg.Search), func(s string) bool { return s == "." })
	}
	if len(cfg.Options) > 0 {
		options = slices.Clone(cfg.Options)
	}
	if !slices.ContainsFunc(options, isNdots) {
		options = append(options, "ndots:0")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "nameserver %s\n", Address)
	if len(search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(search, " "))
	}
	fmt.Fprintf(&b, "options %s\n", strings.Join(options, " "))
	return b.Bytes()
}

func isNdots(option string) bool { return strings.HasPrefix(option, "ndots:") }

// HostUpstreams are the name servers of a host's resolv.conf, ours left out.
func HostUpstreams(hostResolv []byte) []netip.AddrPort {
	servers, _, _ := parseResolvConf(hostResolv)
	var out []netip.AddrPort
	for _, s := range servers {
		if s != Address {
			out = append(out, netip.AddrPortFrom(s, 53))
		}
	}
	return out
}

func parseResolvConf(file []byte) (servers []netip.Addr, search, options []string) {
	for line := range strings.Lines(string(file)) {
		f := strings.Fields(line)
		if len(f) < 2 || strings.ContainsAny(f[0][:1], "#;") {
			continue
		}
		switch f[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(f[1]); err == nil {
				servers = append(servers, a.Unmap())
			}
		case "search", "domain": // the last one counts
			search = f[1:]
		case "options":
			options = append(options, f[1:]...)
		}
	}
	return servers, search, options
}

const hostsHead = `127.0.0.1	localhost
::1	localhost ip6-localhost ip6-loopback
fe00::	ip6-localnet
ff00::	ip6-mcastprefix
ff02::1	ip6-allnodes
ff02::2	ip6-allrouters
`

// Hosts is the hosts file of a sandbox (hosts(5)): the fixed names, what the user adds, and its own name at its addresses.
func Hosts(hostname string, addrs []netip.Addr, extra []swarmnet.HostEntry) []byte {
	var b bytes.Buffer
	b.WriteString(hostsHead)
	for _, e := range extra {
		if e.Addr.IsValid() {
			fmt.Fprintf(&b, "%s\t%s\n", e.Addr, e.Name)
		}
	}
	names := hostname
	if short, _, ok := strings.Cut(hostname, "."); ok && short != "" {
		names += " " + short
	}
	for _, a := range addrs {
		if hostname != "" && a.IsValid() {
			fmt.Fprintf(&b, "%s\t%s\n", a, names)
		}
	}
	return b.Bytes()
}
