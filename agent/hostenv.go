package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/local"
	"github.com/swarmnet/swarmnet/internal/hostport"
	okernel "github.com/swarmnet/swarmnet/overlay/kernel"
)

// HostEnv is what the host says at this moment: its routes and interfaces.
func HostEnv(runDir string) (local.Env, error) {
	env := local.Env{Now: time.Now(), MTUs: map[string]int{}}
	fabric := okernel.New(okernel.Config{NetnsDir: Config{RunDir: runDir}.netnsDir()})
	routes, err := fabric.HostRoutes()
	if err != nil {
		return env, err
	}
	if env.WayOut, err = fabric.UnderlayMTU(netip.Addr{}); err != nil {
		return env, err
	}
	for _, r := range routes {
		env.Routes = append(env.Routes, r.Prefix)
	}
	links, err := net.Interfaces()
	if err != nil {
		return env, fmt.Errorf("the host's interfaces: %w", err)
	}
	for _, l := range links {
		if l.Name != okernel.HostLink {
			env.Links, env.MTUs[l.Name] = append(env.Links, l.Name), l.MTU
		}
	}
	return env, nil
}

// PortHolder says who has a port of the host: a service of the cluster, or any program; empty: nobody.
func (a *Agent) PortHolder(p swarmnet.PortSpec) string {
	set := a.Assigned()
	for _, s := range set.Services {
		for _, q := range s.IngressPorts() {
			if p.Clashes(q) {
				return "service " + s.Spec.Name
			}
		}
	}
	for _, t := range set.Tasks {
		for _, q := range t.Ports {
			if q.Mode == swarmnet.PublishHost && !t.Status.State.Terminal() && t.Desired <= swarmnet.DesireDraining && p.Clashes(q) {
				return "task " + t.Name()
			}
		}
	}
	// What this node holds itself is given back a moment after its sandbox has ended, and what nobody is found to hold may just have been.
	unseen, giveUp := 0, time.Now().Add(givenBack)
	for ; inUse(p); time.Sleep(10 * time.Millisecond) {
		who, _ := hostport.Find(p.Protocol, p.HostIP, p.Published)
		switch {
		case who.PID != 0 && who.PID != os.Getpid():
			return who.String()
		case a.holds(p) || who.PID != 0:
			unseen = 0
		default:
			unseen++
		}
		if unseen >= looks || time.Now().After(giveUp) {
			return "another program"
		}
	}
	return ""
}

const (
	// givenBack bounds how long a port that this node holds without need is waited for.
	givenBack = 5 * time.Second
	// looks is how often a port must be found in use with no holder to be seen before that is believed: whoever had it may have gone between
	// the two looks. A TCP socket that is bound and does not listen is seen by nobody.
	looks = 20
)

// holds reports whether this node's mesh holds a port, or one that is in its way.
func (a *Agent) holds(p swarmnet.PortSpec) bool {
	return slices.ContainsFunc(a.parts.balancer.Held(), p.Clashes)
}

// Degraded are the published ports that this node cannot publish, since others hold them.
func (a *Agent) Degraded() []swarmnet.DegradedPort { return a.parts.balancer.Degraded() }

// RefusedQueries says of which sandboxes and tasks of this node, by their names, how many queries were refused since too many were under way.
func (a *Agent) RefusedQueries() map[string]uint64 {
	refused, out := a.parts.resolver.Refused(), map[string]uint64{}
	if len(refused) == 0 {
		return nil
	}
	names := map[swarmnet.TaskID]string{}
	for _, sb := range a.Sandboxes() {
		names[sb.ID] = sb.Spec.Name
	}
	for _, t := range a.Tasks() {
		names[t.ID] = t.Spec.Name
	}
	for id, n := range refused {
		out[cmp.Or(names[id], swarmnet.ShortID(id))] += n
	}
	return out
}

// Freed returns when this node holds none of these ports any more, as after their sandbox was stopped, or ctx ends.
func (a *Agent) Freed(ctx context.Context, ports []swarmnet.PortSpec) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for slices.ContainsFunc(ports, a.holds) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// inUse tries a port of the host by taking it for a moment.
func inUse(p swarmnet.PortSpec) bool {
	addrs := []netip.Addr{p.HostIP}
	if !p.HostIP.IsValid() || p.HostIP.IsUnspecified() {
		addrs = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
	for _, addr := range addrs {
		at := netip.AddrPortFrom(addr, p.Published).String()
		var c interface{ Close() error }
		var err error
		switch p.Protocol {
		case swarmnet.TCP:
			c, err = net.Listen("tcp"+family(addr), at)
		case swarmnet.UDP:
			c, err = net.ListenPacket("udp"+family(addr), at)
		default:
			continue
		}
		if err == nil {
			c.Close()
		} else if errors.Is(err, syscall.EADDRINUSE) {
			return true
		}
	}
	return false
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "4"
	}
	return "6"
}
