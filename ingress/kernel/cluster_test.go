package kernel

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/overlay"
	overlaykernel "github.com/swarmnet/swarmnet/overlay/kernel"
)

// cluster is some nodes on one switch, with an outsider: the real fabrics, and sandboxes made by hand.
type cluster struct {
	t       *testing.T
	set     swarmnet.AssignmentSet // as the managers see it; each node gets it with its own Self
	nodes   []*testNode
	outside *kerneltest.NS
}

type testNode struct {
	c      *cluster
	id     swarmnet.NodeID
	host   *kerneltest.NS
	under  netip.Addr
	fabric *overlaykernel.Fabric
	mesh   *Mesh
	vips   *VIPs
}

const (
	underlayMTU = 1500
	outsideAddr = "192.0.2.100"
	appVNI      = 5001
	ingressVNI  = 4096
)

func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	return newClusterOver(t, n, nil)
}

// newClusterOver makes the cluster with a balancer for each node; nil: the default.
func newClusterOver(t *testing.T, n int, balancer func() Balancer) *cluster {
	t.Helper()
	kerneltest.Require(t, kerneltest.Namespaces, kerneltest.Bridge, kerneltest.VXLAN, kerneltest.NFTables)
	c := &cluster{t: t, set: swarmnet.EmptyAssignmentSet(), outside: kerneltest.NewNamespace(t)}
	c.set.Cluster.DataPathPort = swarmnet.DefaultDataPathPort
	c.network("ingress", ingressVNI, "10.255.0.0/24", true)
	c.network("app", appVNI, "10.0.1.0/24", false)
	ends := []kerneltest.End{{NS: c.outside, Name: "eth0", Addrs: []string{outsideAddr + "/24"}}}
	for i := 1; i <= n; i++ {
		node := &testNode{c: c, id: swarmnet.NodeID(fmt.Sprintf("node%d", i)), host: kerneltest.NewNamespace(t),
			under: netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", i))}
		c.set.Nodes[node.id] = swarmnet.Node{ID: node.id, Index: uint16(i), Description: swarmnet.NodeDescription{VTEP: node.under},
			Status: swarmnet.NodeStatus{State: swarmnet.NodeReady}, Ingress: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.255.0.%d/24", i))}}
		c.nodes = append(c.nodes, node)
		ends = append(ends, kerneltest.End{NS: node.host, Name: "eth0", Addrs: []string{node.under.String() + "/24"}})
	}
	kerneltest.Switch(t, underlayMTU, ends...)
	for _, node := range c.nodes {
		dir := t.TempDir()
		node.fabric = overlaykernel.New(overlaykernel.Config{HostNS: node.host.Path, NetnsDir: dir})
		t.Cleanup(func() {
			if err := node.fabric.Remove(context.Background()); err != nil {
				t.Error(err)
			}
		})
		cfg := Config{HostNS: node.host.Path, FabricNS: filepath.Join(dir, overlaykernel.FabricName)}
		if balancer != nil {
			cfg.Balancer = balancer()
		}
		if testing.Verbose() {
			cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
		}
		node.mesh, node.vips = NewMesh(cfg), NewVIPs(cfg)
		t.Cleanup(func() { node.mesh.Close() })
	}
	return c
}

func (c *cluster) network(name string, vni swarmnet.VNI, prefix string, ingress bool) {
	p := netip.MustParsePrefix(prefix)
	sub := swarmnet.Subnet{Prefix: p}
	if !ingress {
		sub.Gateway = p.Addr().Next()
	}
	c.set.Networks[swarmnet.NetworkID(name)] = swarmnet.Network{ID: swarmnet.NetworkID(name), VNI: vni,
		Spec: swarmnet.NetworkSpec{Name: name, Driver: swarmnet.DriverOverlay, Ingress: ingress}, Subnets: []swarmnet.Subnet{sub}}
}

// service makes a service on the network app, with a VIP.
func (c *cluster) service(id swarmnet.ServiceID, vip string, ports ...swarmnet.PortSpec) {
	c.set.Services[id] = swarmnet.Service{ID: id, Ports: ports, VIPs: []swarmnet.VIP{{Network: "app", Addr: netip.MustParseAddr(vip)}}}
}

// task places a task of the service on a node, with a sandbox on one network.
func (c *cluster) task(service swarmnet.ServiceID, id swarmnet.TaskID, on int, network swarmnet.NetworkID, addr string) *kerneltest.NS {
	c.t.Helper()
	node := c.nodes[on]
	p := netip.PrefixFrom(netip.MustParseAddr(addr), 24)
	ep := swarmnet.Endpoint{ID: swarmnet.EndpointID(id), Network: network, Task: id, Service: service, Node: node.id,
		MAC: swarmnet.MACFor(p.Addr()), Addrs: []netip.Prefix{p}, DefaultRoute: true}
	if subs := c.set.Networks[network].Subnets; len(subs) > 1 {
		ep.Addrs = append(ep.Addrs, like(subs[1].Prefix, p.Addr()))
	}
	c.set.Endpoints[ep.ID] = swarmnet.PeerEndpoint{Endpoint: ep, Desired: swarmnet.DesireRunning, State: swarmnet.TaskRunning}
	c.set.Tasks[id] = swarmnet.Task{ID: id, Service: service, Node: node.id, Ports: c.set.Services[service].Ports, Desired: swarmnet.DesireRunning}
	c.apply()
	return node.sandbox(ep)
}

// sandbox makes a network namespace for an endpoint and joins it to the bridge of its network.
func (n *testNode) sandbox(ep swarmnet.Endpoint) *kerneltest.NS {
	t := n.c.t
	t.Helper()
	ns := kerneltest.NewNamespace(t)
	net := n.c.set.Networks[ep.Network]
	name := "ve-" + string(ep.ID)
	sb, err := netns.Open(ns.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer sb.Close()
	n.fabricNS().With(func(c *nl.Conn) error {
		br, _, err := c.Link(overlay.BridgeName(net.VNI))
		if err != nil {
			return err
		}
		if err := c.AddVeth(br.MTU, nl.Veth{Name: name}, nl.Veth{Name: "eth0", MAC: ep.MAC, NS: sb}); err != nil {
			return err
		}
		l, _, err := c.Link(name)
		if err != nil {
			return err
		}
		if err := c.SetMaster(l.Index, br.Index); err != nil {
			return err
		}
		return c.SetUp(l.Index)
	})
	ns.With(func(c *nl.Conn) error {
		l, _, err := c.Link("eth0")
		if err != nil {
			return err
		}
		if err := c.SetUp(l.Index); err != nil {
			return err
		}
		for i, a := range ep.Addrs {
			via, all := net.Subnets[i].Gateway, netip.IPv4Unspecified()
			if net.Spec.Ingress {
				via = n.c.set.Nodes[n.id].Ingress[i].Addr()
			}
			if a.Addr().Is6() {
				all = netip.IPv6Unspecified()
			}
			if err := c.AddAddr(l.Index, a); err != nil {
				return err
			}
			if err := c.ReplaceRoute(nl.Route{Dst: netip.PrefixFrom(all, 0), Via: via, Index: l.Index}); err != nil {
				return err
			}
		}
		return nil
	})
	return ns
}

// like is an address with the last octet of another one.
func like(in netip.Prefix, a netip.Addr) netip.Prefix {
	b, of := in.Addr().AsSlice(), a.AsSlice()
	b[len(b)-1] = of[len(of)-1]
	addr, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(addr, in.Bits())
}

const outsideAddr6 = "2001:db8:1::64"

// bothFamilies gives the networks, the hosts and the outsider IPv6 as well. Services and tasks come after it.
func (c *cluster) bothFamilies() {
	c.t.Helper()
	kerneltest.Require(c.t, kerneltest.IPv6)
	for name, prefix := range map[swarmnet.NetworkID]string{"ingress": "fd00:ff::/64", "app": "fd00:1::/64"} {
		n := c.set.Networks[name]
		sub := swarmnet.Subnet{Prefix: netip.MustParsePrefix(prefix)}
		if !n.Spec.Ingress {
			sub.Gateway = sub.Prefix.Addr().Next()
		}
		n.Subnets = append(n.Subnets, sub)
		c.set.Networks[name] = n
	}
	under := func(ns *kerneltest.NS, a netip.Addr) {
		ns.With(func(conn *nl.Conn) error {
			return conn.AddAddr(ns.Link("eth0").Index, like(netip.MustParsePrefix("2001:db8:1::/64"), a))
		})
	}
	under(c.outside, netip.MustParseAddr(outsideAddr))
	for _, node := range c.nodes {
		under(node.host, node.under)
		n := c.set.Nodes[node.id]
		n.Ingress = append(n.Ingress, like(netip.MustParsePrefix("fd00:ff::/64"), n.Ingress[0].Addr()))
		c.set.Nodes[node.id] = n
	}
}

// entry6 is where the node answers on a port, by IPv6.
func (n *testNode) entry6(port int) string {
	return fmt.Sprintf("[%s]:%d", like(netip.MustParsePrefix("2001:db8:1::/64"), n.under).Addr(), port)
}

func (n *testNode) fabricNS() *kerneltest.NS { return kerneltest.Adopt(n.c.t, n.fabric.Path()) }

// view is the set as one node gets it: its own tasks only.
func (n *testNode) view() swarmnet.AssignmentSet {
	set := n.c.set
	set.Self = n.id
	set.Tasks = map[swarmnet.TaskID]swarmnet.Task{}
	for id, t := range n.c.set.Tasks {
		if t.Node == n.id {
			set.Tasks[id] = t
		}
	}
	return set
}

func (n *testNode) wanted() ingress.Mesh { return ingress.ComputeMesh(n.view(), gossip.View{}) }

// apply brings all nodes to what the set says.
func (c *cluster) apply() {
	c.t.Helper()
	for _, n := range c.nodes {
		if _, err := n.fabric.Reconcile(context.Background(), overlay.Compute(n.view(), underlayMTU, 0)); err != nil {
			c.t.Fatal(err)
		}
		n.reconcile()
	}
}

func (n *testNode) reconcile() int {
	n.c.t.Helper()
	changes, err := n.mesh.Reconcile(context.Background(), n.wanted())
	if err != nil {
		n.c.t.Fatalf("%s: %v", n.id, err)
	}
	return changes
}

// balance brings the virtual addresses of a task's sandbox to what the set says.
func (c *cluster) balance(on int, task swarmnet.TaskID, sandbox *kerneltest.NS) int {
	c.t.Helper()
	n := c.nodes[on]
	changes, err := n.vips.Reconcile(context.Background(), sandbox.Path, ingress.ComputeVIPs(n.view(), gossip.View{})[task])
	if err != nil {
		c.t.Fatal(err)
	}
	return changes
}

// remove takes a task out of the set for good.
func (c *cluster) remove(id swarmnet.TaskID) {
	delete(c.set.Tasks, id)
	delete(c.set.Endpoints, swarmnet.EndpointID(id))
}
