package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/local"
	"github.com/swarmnet/swarmnet/dns"
	"github.com/swarmnet/swarmnet/ingress/kernel"
	"github.com/swarmnet/swarmnet/internal/changes"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nft"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/overlay"
	okernel "github.com/swarmnet/swarmnet/overlay/kernel"
)

// node is what a daemon has of a host's data path, without the daemon, in the namespace that the process was started in: the host. It has one
// sandbox, and a client outside.
type node struct {
	dir    string
	fabric *okernel.Fabric
	mesh   *kernel.Mesh
	vips   *kernel.VIPs
	names  *dns.Server

	readings changes.Log
	planner  desired.Planner
	book     dns.Book
	doubts   func() bool
}

// newNode makes the host's device and a client on it.
func newNode() (*node, error) { return newNodeOver(nil) }

// newNodeOver is newNode with a balancer; nil: nftables.
func newNodeOver(b kernel.Balancer) (*node, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	n := &node{dir: dir, names: dns.NewServer(dns.Config{})}
	clocks := &nft.Clocks{}
	n.fabric = okernel.New(okernel.Config{NetnsDir: dir, Doubt: n.doubt, Clocks: clocks})
	cfg := kernel.Config{FabricNS: n.fabric.Path(), Doubt: n.doubt, Clocks: clocks, Balancer: b}
	n.mesh, n.vips = kernel.NewMesh(cfg), kernel.NewVIPs(cfg)
	if _, err := netns.Create(dir, "client"); err != nil {
		return n, err
	}
	host, err := nl.Open("")
	if err != nil {
		return n, err
	}
	defer host.Close()
	lo, _, err := host.Link("lo")
	if err != nil {
		return n, err
	}
	client, err := nl.Open(n.client())
	if err != nil {
		return n, err
	}
	defer client.Close()
	return n, errors.Join(host.SetUp(lo.Index), pair(host, "under", netip.PrefixFrom(hostAddr, 24), client, netip.PrefixFrom(clientAddr, 24)))
}

// doubt is never, unless a scenario has it: nobody else is here.
func (n *node) doubt() bool { return n.doubts != nil && n.doubts() }

func (n *node) client() string  { return filepath.Join(n.dir, "client") }
func (n *node) sandbox() string { return filepath.Join(n.dir, "sandbox") }

// pair joins two namespaces; what comes later in them is a link of that name, and eth0.
func pair(a *nl.Conn, name string, addrA netip.Prefix, b *nl.Conn, addrB netip.Prefix) error {
	if err := a.AddVeth(1500, nl.Veth{Name: name}, nl.Veth{Name: "eth0", NS: b.NS()}); err != nil {
		return err
	}
	one, _, err1 := a.Link(name)
	two, _, err2 := b.Link("eth0")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if addrA.IsValid() {
		if err := a.AddAddr(one.Index, addrA); err != nil {
			return err
		}
	}
	return errors.Join(b.AddAddr(two.Index, addrB), a.SetUp(one.Index), b.SetUp(two.Index))
}

// close takes everything away, as far as the end of the process would not.
func (n *node) close() error {
	return errors.Join(n.mesh.Close(), n.fabric.Remove(context.Background()), netns.Delete(n.dir, "client"), netns.Delete(n.dir, "sandbox"), os.RemoveAll(n.dir))
}

// parts are how long the parts of a pass took, in seconds.
type parts struct{ intake, compute, names, fabric, mesh, vips, cpu float64 }

func (p parts) sum() float64 { return p.intake + p.compute + p.names + p.fabric + p.mesh + p.vips }

// want is what follows from what the managers and the gossip say, as they were read.
func (n *node) want(w *world) (*changes.Step, desired.NodeState) {
	reading := n.readings.Next(local.Merge(w.set, local.Fragment{}), w.view)
	return reading, n.planner.Compute(reading, desired.Local{UnderlayMTU: 1500})
}

// program brings what the managers and the gossip say into force, as the agent does, but one part after the other.
func (n *node) program(ctx context.Context, w *world) (p parts, err error) {
	cpu := cpuSeconds(0)
	defer func() { p.cpu = cpuSeconds(0) - cpu }()
	lap := stopwatch()
	reading, want := n.want(w)
	p.compute = lap()
	n.names.Update(n.book.Compute(reading))
	p.names = lap()
	if _, err := n.fabric.Reconcile(ctx, want.Overlay); err != nil {
		return p, err
	}
	p.fabric = lap()
	if _, err := n.mesh.Reconcile(ctx, want.Mesh); err != nil {
		return p, err
	}
	p.mesh = lap()
	if len(want.Tasks) != 1 {
		return p, fmt.Errorf("%d tasks are here instead of one", len(want.Tasks))
	}
	if err := n.ensureSandbox(want.Tasks[0]); err != nil {
		return p, err
	}
	lap()
	if _, err := n.vips.Reconcile(ctx, n.sandbox(), want.Tasks[0].VIPs); err != nil {
		return p, err
	}
	p.vips = lap()
	return p, nil
}

func (n *node) ensureSandbox(t desired.Task) error {
	created, err := netns.Create(n.dir, "sandbox")
	if err != nil || !created {
		return err
	}
	fabric, err := nl.Open(n.fabric.Path())
	if err != nil {
		return err
	}
	defer fabric.Close()
	box, err := nl.Open(n.sandbox())
	if err != nil {
		return err
	}
	defer box.Close()
	ifc := t.Sandbox.Interfaces[0]
	if err := pair(fabric, "ve-bench", netip.Prefix{}, box, ifc.Addrs[0]); err != nil {
		return err
	}
	end, _, err1 := fabric.Link("ve-bench")
	br, _, err2 := fabric.Link(overlay.BridgeName(ifc.VNI))
	eth, _, err3 := box.Link("eth0")
	lo, _, err4 := box.Link("lo")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	return errors.Join(fabric.SetMaster(end.Index, br.Index), box.SetMAC(eth.Index, ifc.MAC), box.SetUp(lo.Index),
		box.ReplaceRoute(nl.Route{Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: ifc.DefaultVia[0], Index: eth.Index}))
}

// stopwatch returns a function that says how many seconds have passed since it was last called.
func stopwatch() func() float64 {
	last := time.Now()
	return func() float64 {
		now := time.Now()
		d := now.Sub(last)
		last = now
		return d.Seconds()
	}
}
