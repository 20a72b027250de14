// Package kernel looks at a host for package doctor: its kernel, firewall, ports and devices, and the ways to the other nodes. It changes
// nothing; what it tries out it tries in namespaces of its own.
package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/doctor"
	"github.com/swarmnet/swarmnet/internal/nl"
	fabric "github.com/swarmnet/swarmnet/overlay/kernel"
)

// Config says what to look at.
type Config struct {
	// HostNS is the path of the namespace that counts as the host's; empty: the caller's own.
	HostNS string
	// NetnsDir holds the namespaces that the daemon made.
	NetnsDir string
	// VTEP is the data path address, if the node has one, and Port its UDP port.
	VTEP netip.Addr
	Port uint16
	// IPv6 says that a network has IPv6.
	IPv6 bool
	// Managers are the HOST:PORT of the managers' API.
	Managers []string
	// Self is this node, and Nodes are the others of the cluster; Ingress is the VNI of the ingress network, 0: there is none.
	Self    swarmnet.Node
	Nodes   []swarmnet.Node
	Ingress swarmnet.VNI
}

// Observe returns what was seen. What could not be seen is among the facts, too. It takes a few seconds, or some ten
// where a way loses large packets.
func Observe(ctx context.Context, cfg Config) doctor.Facts {
	f := doctor.Facts{Now: time.Now(), HostLink: fabric.HostLink}
	o := &observer{cfg: cfg, facts: &f}
	var wg sync.WaitGroup
	wg.Go(func() { f.Managers = reachManagers(ctx, cfg) })
	wg.Go(func() { f.Nodes = reachNodes(ctx, cfg) })
	o.look()
	wg.Wait()
	return f
}

type observer struct {
	cfg   Config
	facts *doctor.Facts
}

// unseen notes what could not be looked at.
func (o *observer) unseen(check string, err error) {
	cure := ""
	if errors.Is(err, fs.ErrPermission) {
		cure = "run it as root"
	}
	o.facts.Unseen = append(o.facts.Unseen, doctor.Finding{Check: check, Found: "cannot be looked at: " + err.Error(), Cure: cure})
}

func (o *observer) look() {
	f := o.facts
	f.Clock = clock()
	if features, err := Features(); err != nil {
		o.unseen("kernel", err)
	} else {
		f.Features = features
	}
	host, err := nl.Open(o.cfg.HostNS)
	if err != nil {
		o.unseen("host", err)
		return
	}
	defer host.Close()
	f.Forward, _ = host.GetSysctl("net/ipv4/ip_forward")
	f.Forward6, _ = host.GetSysctl("net/ipv6/conf/all/forwarding")
	if v, err := host.GetSysctl(nl.IdleTCPKey); err == nil {
		seconds, _ := strconv.Atoi(v) //nolint:errcheck // the kernel's own number
		f.IdleTCP = time.Duration(seconds) * time.Second
	}
	f.NeedsIPv6 = o.cfg.IPv6
	f.BridgeNF = bridgeNetfilter(host)
	if c, err := nl.Open(o.fabric()); err == nil {
		f.HasFabric, f.FabricNF = true, bridgeNetfilter(c)
		c.Close()
	}
	if f.Underlay, err = o.underlay(host); err != nil {
		o.unseen("underlay", err)
	}
	if f.Chains, err = forwardChains(host.NS()); err != nil {
		o.unseen("firewall", err)
	}
	f.LegacyTables = legacyTables(host.NS())
	if o.cfg.Port != 0 {
		if f.VXLAN, err = o.vxlanPort(host); err != nil {
			o.unseen("vxlan-port", err)
		}
	}
}

func (o *observer) fabric() string { return filepath.Join(o.cfg.NetnsDir, fabric.FabricName) }

// bridgeNetfilter lists the settings of br_netfilter that are on; without the module there are none.
func bridgeNetfilter(c *nl.Conn) (on []string) {
	for _, name := range []string{"bridge-nf-call-iptables", "bridge-nf-call-ip6tables", "bridge-nf-call-arptables"} {
		if v, err := c.GetSysctl("net/bridge/" + name); err == nil && v == "1" {
			on = append(on, "net.bridge."+name)
		}
	}
	return on
}

// underlay finds the device that holds the data path address; without one, the device by which the host reaches others.
func (o *observer) underlay(host *nl.Conn) (doctor.Device, error) {
	links, err := host.Links()
	if err != nil {
		return doctor.Device{}, err
	}
	vtep := o.cfg.VTEP
	if !vtep.IsValid() {
		if vtep, err = fabric.ChooseVTEP(o.cfg.HostNS, netip.Addr{}); err != nil {
			return doctor.Device{}, nil // a host without a network needs none
		}
	}
	for _, l := range links {
		addrs, err := host.Addrs(l.Index)
		if err != nil {
			return doctor.Device{}, err
		}
		for _, p := range addrs {
			if p.Addr() == vtep {
				return doctor.Device{Name: l.Name, Addr: vtep, MTU: l.MTU}, nil
			}
		}
	}
	return doctor.Device{Err: fmt.Sprintf("no interface of this host has the data path address %s", vtep)}, nil
}

// ours reports whether the fabric has a VXLAN device at the port.
func (o *observer) ours() bool {
	c, err := nl.Open(o.fabric())
	if err != nil {
		return false
	}
	defer c.Close()
	links, err := c.Links()
	if err != nil {
		return false
	}
	for _, l := range links {
		if l.VXLAN != nil && l.VXLAN.Port == o.cfg.Port && strings.HasPrefix(l.Name, "vx-") {
			return true
		}
	}
	return false
}
