package agent

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/dns"
	"github.com/swarmnet/swarmnet/internal/changes"
	"github.com/swarmnet/swarmnet/internal/netns"
)

// dnsResolver is the resolver of package dns.
type dnsResolver struct {
	srv  *dns.Server
	book dns.Book
	cfg  Config
	path func(name string) string // of a sandbox's network namespace
}

func newResolver(cfg Config, path func(string) string) *dnsResolver {
	r := &dnsResolver{cfg: cfg, path: path}
	r.srv = dns.NewServer(dns.Config{Upstreams: r.upstreams, Logger: cfg.Logger})
	return r
}

// upstreams are read again for each query: the host's file may change.
func (r *dnsResolver) upstreams() []netip.AddrPort {
	if len(r.cfg.DNS) > 0 {
		return atPort53(r.cfg.DNS)
	}
	return dns.HostUpstreams(r.hostFile())
}

// hostFile is empty where the host has none: then there is nobody to ask.
func (r *dnsResolver) hostFile() []byte {
	b, _ := os.ReadFile(r.cfg.ResolvConf)
	return b
}

func atPort53(servers []netip.Addr) []netip.AddrPort {
	out := make([]netip.AddrPort, len(servers))
	for i, s := range servers {
		out[i] = netip.AddrPortFrom(s, 53)
	}
	return out
}

func (r *dnsResolver) Run(ctx context.Context) error { return r.srv.Run(ctx) }

func (r *dnsResolver) Update(to *changes.Step) { r.srv.Update(r.book.Compute(to)) }

func (r *dnsResolver) Attach(t desired.Task, socks *executor.Sockets) error {
	sb := dns.Sandbox{ID: string(t.ID), UDP: socks.UDP, TCP: socks.TCP, Upstreams: atPort53(dnsOf(t).Servers)}
	sb.Networks, sb.Internal = place(t)
	path := r.path(t.Sandbox.Name)
	sb.Dial = func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		err = netns.Do(path, func() (err error) {
			c, err = new(net.Dialer).DialContext(ctx, network, addr)
			return err
		})
		return c, err
	}
	return r.srv.Attach(sb)
}

// place is on which networks a task's names are looked for, and whether none of them leads outside.
func place(t desired.Task) (networks []swarmnet.NetworkID, internal bool) {
	for _, ifc := range t.Sandbox.Interfaces {
		if len(ifc.DefaultVia) > 0 {
			return t.Lookup, false
		}
	}
	return t.Lookup, true
}

func (r *dnsResolver) Reconfigure(t desired.Task) {
	networks, internal := place(t)
	r.srv.Reconfigure(string(t.ID), networks, internal)
}

func (r *dnsResolver) Detach(id swarmnet.TaskID) { r.srv.Detach(string(id)) }

func (r *dnsResolver) Refused() map[swarmnet.TaskID]uint64 {
	out := map[swarmnet.TaskID]uint64{}
	for id, n := range r.srv.Refused() {
		out[swarmnet.TaskID(id)] = n
	}
	return out
}

func (r *dnsResolver) Files(t desired.Task) (resolvConf, hosts string) {
	if t.Stack.Mode == swarmnet.ModeHost {
		b, _ := os.ReadFile("/etc/hosts")
		for _, h := range t.Spec.Hosts {
			b = fmt.Appendf(b, "%s\t%s\n", h.Addr, h.Name)
		}
		return string(r.hostFile()), string(b)
	}
	var addrs []netip.Addr
	for _, ep := range t.Endpoints {
		for _, p := range ep.Addrs {
			addrs = append(addrs, p.Addr())
		}
	}
	return string(dns.ResolvConf(dnsOf(t), r.hostFile())), string(dns.Hosts(hostname(t.Task), addrs, t.Spec.Hosts))
}

// dnsOf is how names are to be resolved: as the task asks, else as the drivers say that gave it addresses.
func dnsOf(t desired.Task) swarmnet.DNSConfig {
	out := t.Spec.DNS
	for _, ep := range t.Endpoints {
		if len(out.Servers) == 0 {
			out.Servers = ep.DNS.Servers
		}
		if len(out.Search) == 0 {
			out.Search = ep.DNS.Search
		}
		if len(out.Options) == 0 {
			out.Options = ep.DNS.Options
		}
	}
	return out
}

// hostname is a task's own: the one asked for, else its short id.
func hostname(t swarmnet.Task) string {
	if t.Spec.Hostname != "" {
		return t.Spec.Hostname
	}
	return swarmnet.ShortID(t.ID)
}
