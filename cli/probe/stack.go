package probe

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
)

// Stack is the network stack that this process is in.
type Stack struct {
	Interfaces []Interface `json:"interfaces"`
	Routes     []Route     `json:"routes"` // IPv4, the main table
}

// Interface is one interface with its addresses.
type Interface struct {
	Name  string   `json:"name"`
	MAC   string   `json:"mac,omitempty"`
	MTU   int      `json:"mtu"`
	Up    bool     `json:"up"`
	Addrs []string `json:"addrs"`
}

// Route is one route. Gateway is empty where the destination is on the link.
type Route struct {
	To      string `json:"to"`
	Gateway string `json:"gateway,omitempty"`
	Device  string `json:"device"`
}

// OwnStack reads the stack of this process.
func OwnStack() (Stack, error) {
	var s Stack
	links, err := net.Interfaces()
	if err != nil {
		return s, err
	}
	for _, l := range links {
		i := Interface{Name: l.Name, MAC: l.HardwareAddr.String(), MTU: l.MTU, Up: l.Flags&net.FlagUp != 0, Addrs: []string{}}
		addrs, err := l.Addrs()
		if err != nil {
			return s, err
		}
		for _, a := range addrs {
			i.Addrs = append(i.Addrs, a.String())
		}
		s.Interfaces = append(s.Interfaces, i)
	}
	b, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return s, err
	}
	s.Routes, err = parseRoutes(string(b))
	return s, err
}

// parseRoutes reads /proc/net/route: addresses in the host's byte order, as hexadecimal numbers (net/ipv4/fib_trie.c).
func parseRoutes(text string) ([]Route, error) {
	var out []Route
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		f := strings.Fields(line)
		if i == 0 || len(f) < 8 {
			continue
		}
		var addrs [3]netip.Addr
		for j, field := range []string{f[1], f[2], f[7]} {
			b, err := hex.DecodeString(field)
			if err != nil || len(b) != 4 {
				return nil, fmt.Errorf("cannot read the route %q", line)
			}
			var a [4]byte
			binary.NativeEndian.PutUint32(a[:], binary.BigEndian.Uint32(b))
			addrs[j] = netip.AddrFrom4(a)
		}
		mask := addrs[2].As4()
		ones, _ := net.IPMask(mask[:]).Size()
		r := Route{To: netip.PrefixFrom(addrs[0], ones).String(), Device: f[0]}
		if !addrs[1].IsUnspecified() {
			r.Gateway = addrs[1].String()
		}
		out = append(out, r)
	}
	return out, nil
}
