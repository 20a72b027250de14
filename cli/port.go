package cli

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/cli/parse"
)

func (a *app) portCmd() *cobra.Command {
	return &cobra.Command{Use: "port NAME [PORT[/PROTO]]", Short: "Show where the ports of a sandbox are published",
		Long: `Show where the ports of a sandbox of this node are published, or one of them.

As docker port. Only what the sandbox publishes on this node is shown: ports of a service's routing mesh are its service's
(` + "`swarmnet service ls`" + `).`,
		Args: between("NAME", "PORT[/PROTO]"), ValidArgsFunction: a.completeSandboxes(1, running),
		RunE: func(cmd *cobra.Command, args []string) error {
			var (
				target uint16
				proto  swarmnet.Protocol
				err    error
			)
			if len(args) == 2 {
				if target, proto, err = parse.TargetPort(args[1]); err != nil {
					return usagef("%q: %w: PORT[/PROTO] is wanted", args[1], err)
				}
			}
			s, _, err := a.sandbox(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if len(args) == 1 {
				for _, line := range portLines(s.Sandbox) {
					fmt.Fprintln(a.stdout, line)
				}
				return nil
			}
			found := false
			for _, p := range hostPorts(s.Sandbox) {
				if p.Target == target && p.Protocol == proto {
					found = true
					for _, at := range published(s.Sandbox, p) {
						fmt.Fprintln(a.stdout, at)
					}
				}
			}
			if !found {
				return fmt.Errorf("%s publishes no port %d/%s: `swarmnet port %s` lists what it does", s.Spec.Name, target, proto, args[0])
			}
			return nil
		}}
}

// between is for a command with one argument and perhaps a second.
func between(first, second string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < 1 || len(args) > 2 {
			return usagef("`%s` takes %s and perhaps %s: %d given; see `%s --help`", cmd.CommandPath(), first, second, len(args), cmd.CommandPath())
		}
		return nil
	}
}

// portLines are what `port NAME` prints: 80/tcp -> 0.0.0.0:8080.
func portLines(s swarmnet.Sandbox) []string {
	var out []string
	for _, p := range hostPorts(s) {
		for _, at := range published(s, p) {
			out = append(out, fmt.Sprintf("%d/%s -> %s", p.Target, p.Protocol, at))
		}
	}
	sortBy(out, naturalKey)
	return slices.Compact(out)
}

// hostPorts are the ports in force that are published on this node alone. What is stopped publishes nothing.
func hostPorts(s swarmnet.Sandbox) []swarmnet.PortSpec {
	if s.State != swarmnet.SandboxRunning {
		return nil
	}
	var out []swarmnet.PortSpec
	for _, p := range s.Ports {
		if p.Mode == swarmnet.PublishHost && p.Published != 0 {
			out = append(out, p)
		}
	}
	return out
}

// published are the addresses of the host at which a port answers: of every family that the sandbox has where no address was asked for.
func published(s swarmnet.Sandbox, p swarmnet.PortSpec) []string {
	if p.HostIP.IsValid() {
		return []string{net.JoinHostPort(p.HostIP.String(), strconv.Itoa(int(p.Published)))}
	}
	var four, six bool
	for _, e := range s.Endpoints {
		if !e.DefaultRoute {
			continue
		}
		four = four || e.Addr(false).IsValid()
		six = six || e.Addr(true).IsValid()
	}
	var out []string
	if four || !six {
		out = append(out, netip.AddrPortFrom(netip.IPv4Unspecified(), p.Published).String())
	}
	if six {
		out = append(out, netip.AddrPortFrom(netip.IPv6Unspecified(), p.Published).String())
	}
	return out
}

// publishedText is what ps shows: 0.0.0.0:8080->80/tcp, ranges of neighbours as one.
func publishedText(s swarmnet.Sandbox) []string {
	type run struct {
		addr     string
		from, to swarmnet.PortSpec
	}
	ports := hostPorts(s)
	slices.SortStableFunc(ports, func(a, b swarmnet.PortSpec) int {
		if c := strings.Compare(a.Protocol.String(), b.Protocol.String()); c != 0 {
			return c
		}
		return int(a.Target) - int(b.Target)
	})
	var runs []run
	for _, p := range ports {
		for _, at := range published(s, p) {
			host, _, _ := net.SplitHostPort(at) //nolint:errcheck // made above
			i := slices.IndexFunc(runs, func(r run) bool {
				return r.addr == host && r.to.Protocol == p.Protocol && r.to.Published+1 == p.Published && r.to.Target+1 == p.Target
			})
			if i >= 0 {
				runs[i].to = p
				continue
			}
			runs = append(runs, run{host, p, p})
		}
	}
	var out []string
	for _, r := range runs {
		out = append(out, fmt.Sprintf("%s->%s/%s", net.JoinHostPort(r.addr, span(r.from.Published, r.to.Published)), span(r.from.Target, r.to.Target), r.from.Protocol))
	}
	return out
}

func span(from, to uint16) string {
	if from == to {
		return strconv.Itoa(int(from))
	}
	return fmt.Sprintf("%d-%d", from, to)
}
