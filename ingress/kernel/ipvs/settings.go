package ipvs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/ipvs"

	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/internal/plan"
)

// sysctls of a namespace that balances (Documentation/networking/ipvs-sysctl.rst).
var sysctls = [][2]string{
	// Connection tracking sees translated connections as they are: answers find their way back, and the marks of connections hold.
	{"net/ipv4/vs/conntrack", "1"},
	// A client that uses a port again is a new connection: it does not go on to a destination that takes no new ones.
	{"net/ipv4/vs/conn_reuse_mode", "1"},
	// The connections of a destination go with it, so that datagrams go to another at once.
	{"net/ipv4/vs/expire_nodest_conn", "1"},
	{"net/ipv4/vs/expire_quiescent_template", "1"},
	// A connection that nobody knows any more is handed to a destination, which resets it; left alone it would hang.
	{"net/ipv4/vs/sloppy_tcp", "1"},
}

// refusals of a namespace at whose services clients of others arrive (Documentation/networking/ip-sysctl.rst): IPVS refuses by ICMP whom it has no destination
// for, and by itself the kernel tells one host so once a second. Who hears nothing tries again after one second, two more and four more, and is late when there
// is a destination again. The mask is the kernel's own without destination unreachable; ICMPv6 has no such mask before Linux 5.2.
var refusals = [][2]string{{"net/ipv4/icmp_ratemask", "6160"}, {"net/ipv6/icmp/ratelimit", "0"}}

// timeouts after which an idle connection is forgotten. IPVS's own for TCP is 15 minutes; this is connection tracking's, 5 days.
var timeouts = ipvs.Config{TimeoutTCP: 432000 * time.Second, TimeoutTCPFin: 120 * time.Second, TimeoutUDP: 300 * time.Second}

// EnsureSettings makes the settings of the connection's namespace, which is the one at path, what they must be. Is it open, clients of others arrive there.
func (c *Conn) EnsureSettings(ctx context.Context, path string, open bool) (changes int, err error) {
	ns, err := nl.OpenIn(ctx, path)
	if err != nil {
		return 0, err
	}
	defer ns.Close()
	want := sysctls
	if open {
		want = slices.Concat(sysctls, refusals)
	}
	if !ns.HasIPv6() {
		want = slices.DeleteFunc(slices.Clone(want), func(s [2]string) bool { return strings.HasPrefix(s[0], "net/ipv6/") })
	}
	other, err := ns.OtherSysctls(want)
	if err != nil {
		return 0, fmt.Errorf("IPVS: %w", err)
	}
	for _, s := range other {
		if err := ns.Sysctl(s[0], s[1]); err != nil {
			return changes, err
		}
		changes++
	}
	have, err := c.h.GetConfig()
	if err != nil {
		return changes, fmt.Errorf("cannot read IPVS's timeouts: %w", err)
	}
	if *have == timeouts {
		return changes, nil
	}
	p := plan.From(ctx)
	p.Add("ipvs timeouts tcp %v tcpfin %v udp %v", timeouts.TimeoutTCP, timeouts.TimeoutTCPFin, timeouts.TimeoutUDP)
	if p.IsDry() {
		return changes + 1, nil
	}
	if err := c.h.SetConfig(&timeouts); err != nil {
		return changes, fmt.Errorf("cannot set IPVS's timeouts: %w", err)
	}
	return changes + 1, nil
}

// IdleTCP is for how long an established TCP connection is kept on which nothing is sent.
func (c *Conn) IdleTCP() (time.Duration, error) {
	have, err := c.h.GetConfig()
	if err != nil {
		return 0, fmt.Errorf("cannot read IPVS's timeouts: %w", err)
	}
	return have.TimeoutTCP, nil
}
