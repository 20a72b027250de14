package kernel

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// alone makes the one node of a cluster a host in no cluster, with two networks of its own.
func alone(t *testing.T) (*cluster, *testNode) {
	c := newCluster(t, 1)
	clear(c.set.Networks)
	n := c.nodes[0]
	delete(c.set.Nodes, n.id)
	c.local("lan", 0, nil)
	c.local("dmz", 1, nil)
	return c, n
}

// local makes a network of the node's own: 172.18.N.0/24.
func (c *cluster) local(name swarmnet.NetworkID, n byte, options map[string]string) {
	p := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 18, n, 0}), 24)
	c.set.Networks[name] = swarmnet.Network{ID: name, VNI: swarmnet.FirstLocalSwitch + swarmnet.VNI(n),
		Spec:    swarmnet.NetworkSpec{Name: string(name), Driver: swarmnet.DriverBridge, Options: options},
		Subnets: []swarmnet.Subnet{{Prefix: p, Gateway: p.Addr().Next()}}}
}

// guest makes a sandbox outside services, with published ports.
func (c *cluster) guest(id swarmnet.TaskID, on int, network swarmnet.NetworkID, addr string, ports ...swarmnet.PortSpec) *kerneltest.NS {
	c.t.Helper()
	node := c.nodes[on]
	p := netip.PrefixFrom(netip.MustParseAddr(addr), 24)
	ep := swarmnet.Endpoint{ID: swarmnet.EndpointID(id), Network: network, Task: id, Node: node.id, MAC: swarmnet.MACFor(p.Addr()), Addrs: []netip.Prefix{p}, DefaultRoute: true}
	c.set.Endpoints[ep.ID] = swarmnet.PeerEndpoint{Endpoint: ep, Desired: swarmnet.DesireRunning, State: swarmnet.TaskRunning}
	c.set.Tasks[id] = swarmnet.Task{ID: id, Node: node.id, Ports: ports, Desired: swarmnet.DesireRunning}
	c.apply()
	return node.sandbox(ep)
}

// publish is `-p [ip:]published:target` for both TCP and UDP.
func publish(ip string, published, target uint16) (out []swarmnet.PortSpec) {
	for _, proto := range []swarmnet.Protocol{swarmnet.TCP, swarmnet.UDP} {
		p := swarmnet.PortSpec{Protocol: proto, Published: published, Target: target, Mode: swarmnet.PublishHost}
		if ip != "" {
			p.HostIP = netip.MustParseAddr(ip)
		}
		out = append(out, p)
	}
	return out
}

// saw checks who answers a client and under which address it is seen; whoever "" refuses.
func saw(t *testing.T, from *kerneltest.NS, to, whoever, as string) {
	t.Helper()
	for _, network := range []string{"tcp", "udp"} {
		if whoever == "" {
			refused(t, from, network, to)
			continue
		}
		if name, addr := ask(t, from, network, to); name != whoever || addr.Addr().String() != as {
			t.Errorf("%s %s: %s answered and saw %s, want %s and %s", network, to, name, addr, whoever, as)
		}
	}
}

func TestKernelC30PublishedPortsByEveryWay(t *testing.T) {
	c, n := alone(t)
	n.host.With(func(conn *nl.Conn) error { // a second address, on another device
		return conn.AddAddr(n.host.Link("lo").Index, netip.MustParsePrefix("203.0.113.1/32"))
	})
	web := c.guest("web", 0, "lan", "172.18.0.2", publish("", 8080, 80)...)
	serve(t, web, "web", 80)
	near, far := c.guest("near", 0, "lan", "172.18.0.3"), c.guest("far", 0, "dmz", "172.18.1.2")
	const gateway, link = "172.18.0.1", "169.254.77.1"
	for _, by := range []string{"192.0.2.1", "203.0.113.1", link, gateway, "172.18.1.1"} {
		saw(t, far, by+":8080", "web", "172.18.1.2")
		// The host itself and members of the task's own network are seen under an address of the node's.
		saw(t, near, by+":8080", "web", gateway)
		saw(t, web, by+":8080", "web", gateway)
	}
	for by, as := range map[string]string{"192.0.2.1": "192.0.2.1", "203.0.113.1": "203.0.113.1", link: link, "127.0.0.1": link, "127.7.7.7": link} {
		saw(t, n.host, by+":8080", "web", as)
	}
	saw(t, c.outside, "192.0.2.1:8080", "web", outsideAddr)
	if changes := n.reconcile(); changes != 0 {
		t.Errorf("a second pass changed %d things", changes)
	}
	if held := n.mesh.Held(); len(held) != 2 {
		t.Errorf("held are %v", held)
	}
	c.remove("web")
	c.apply()
	if held := n.mesh.Held(); len(held) != 0 {
		t.Errorf("of nobody's ports these are held: %v", held)
	}
	for _, from := range []*kerneltest.NS{c.outside, far, near, n.host} {
		saw(t, from, "192.0.2.1:8080", "", "")
	}
}

// One number by different addresses leads to different sandboxes, and each by its own address only.
func TestKernelC30HostIP(t *testing.T) {
	c, n := alone(t)
	n.host.With(func(conn *nl.Conn) error {
		return conn.AddAddr(n.host.Link("lo").Index, netip.MustParsePrefix("203.0.113.1/32"))
	})
	serve(t, c.guest("a", 0, "lan", "172.18.0.2", publish("127.0.0.1", 8080, 80)...), "a", 80)
	serve(t, c.guest("b", 0, "lan", "172.18.0.3", publish("192.0.2.1", 8080, 80)...), "b", 80)
	serve(t, c.guest("c", 0, "lan", "172.18.0.4", publish("0.0.0.0", 8081, 80)...), "c", 80)
	far := c.guest("far", 0, "dmz", "172.18.1.2")
	const link = "169.254.77.1"
	saw(t, n.host, "127.0.0.1:8080", "a", link)
	saw(t, n.host, "192.0.2.1:8080", "b", "192.0.2.1")
	saw(t, n.host, "203.0.113.1:8080", "", "")
	saw(t, c.outside, "192.0.2.1:8080", "b", outsideAddr)
	saw(t, far, "192.0.2.1:8080", "b", "172.18.1.2")
	saw(t, far, "203.0.113.1:8080", "", "")
	saw(t, far, "203.0.113.1:8081", "c", "172.18.1.2")
	saw(t, n.host, "127.0.0.1:8081", "c", link)
	// Nor is there a way around by the link between host and fabric, whatever the number.
	for _, p := range []uint16{8080, aliasOf(PortKey{Protocol: swarmnet.TCP, Published: 8080, HostIP: netip.MustParseAddr("127.0.0.1")})} {
		if conn, err := dialBriefly(far, fmt.Sprintf("169.254.77.2:%d", p)); err == nil {
			conn.Close()
			t.Errorf("the fabric's port %d answered", p)
		}
	}
	// The wildcard cannot be had while one address has the number.
	c.guest("d", 0, "lan", "172.18.0.5", publish("", 8080, 80)...)
	if d := n.mesh.Degraded(); len(d) != 2 {
		t.Errorf("degraded: %v", d)
	}
	saw(t, n.host, "127.0.0.1:8080", "a", link)
}

func dialBriefly(ns *kerneltest.NS, to string) (c net.Conn, err error) {
	ns.Do(func() error { c, err = net.DialTimeout("tcp4", to, 500*time.Millisecond); return nil })
	return c, err
}

func TestKernelC30Ranges(t *testing.T) {
	c, n := alone(t)
	var ports []swarmnet.PortSpec
	for i := range uint16(11) {
		ports = append(ports, publish("", 8000+i, 9000+i)...)
	}
	box := c.guest("a", 0, "lan", "172.18.0.2", ports...)
	far := c.guest("far", 0, "dmz", "172.18.1.2")
	for _, i := range []uint16{0, 5, 10} {
		name := fmt.Sprint("a", i)
		serve(t, box, name, int(9000+i))
		saw(t, c.outside, fmt.Sprintf("192.0.2.1:%d", 8000+i), name, outsideAddr)
		saw(t, far, fmt.Sprintf("192.0.2.1:%d", 8000+i), name, "172.18.1.2")
		saw(t, n.host, fmt.Sprintf("127.0.0.1:%d", 8000+i), name, "169.254.77.1")
	}
	saw(t, c.outside, "192.0.2.1:8011", "", "")
}

// Members of a network without ICC reach each other's published ports.
func TestKernelC11PublishedPortsWithoutICC(t *testing.T) {
	c, n := alone(t)
	c.local("quiet", 2, map[string]string{"icc": "false"})
	web := c.guest("web", 0, "quiet", "172.18.2.2", publish("", 8080, 80)...)
	serve(t, web, "web", 80)
	peer := c.guest("peer", 0, "quiet", "172.18.2.3")
	n.fabricNS().With(func(conn *nl.Conn) error {
		for _, port := range []string{"ve-web", "ve-peer"} {
			if err := conn.SetPort(n.fabricNS().Link(port).Index, nl.Port{Isolated: true, Flood: true, Learning: true}); err != nil {
				return err
			}
		}
		return nil
	})
	if conn, err := dialBriefly(peer, "172.18.2.2:80"); err == nil {
		conn.Close()
		t.Error("the member itself answered")
	}
	saw(t, peer, "192.0.2.1:8080", "web", "172.18.2.1")
	saw(t, c.outside, "192.0.2.1:8080", "web", outsideAddr)
}

// A sandbox of a cluster's node that asks its own node for a port of a service: the tasks on other networks and nodes see it as it is, those that share a
// network with it see its node.
func TestKernelC30SandboxAsksTheMesh(t *testing.T) {
	c := newCluster(t, 2)
	c.network("db", 5002, "10.0.2.0/24", false)
	c.local("lan", 0, nil)
	c.service("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
	boxes := map[string]*kerneltest.NS{"t1": c.task("web", "t1", 0, "app", "10.0.1.11"), "t2": c.task("web", "t2", 1, "app", "10.0.1.12")}
	for name, ns := range boxes {
		serve(t, ns, name, 80)
	}
	type client struct {
		ns   *kerneltest.NS
		sees []string // as which address, by t1 and by t2
	}
	for who, cl := range map[string]client{
		"another network": {c.guest("db", 0, "db", "10.0.2.5"), []string{"10.0.2.5", "10.0.2.5"}},
		"node-local":      {c.guest("lan", 0, "lan", "172.18.0.5"), []string{"172.18.0.5", "172.18.0.5"}},
		"same network":    {c.guest("app", 0, "app", "10.0.1.13"), []string{"10.0.1.1", "10.255.0.1"}},
	} {
		for _, network := range []string{"tcp", "udp"} {
			got := map[string]string{}
			for range 40 {
				name, addr := ask(t, cl.ns, network, "192.0.2.1:8080")
				if before, ok := got[name]; ok && before != addr.Addr().String() {
					t.Errorf("%s by %s: %s saw %s, then %s", who, network, name, before, addr)
				}
				got[name] = addr.Addr().String()
			}
			if !slices.Equal([]string{got["t1"], got["t2"]}, cl.sees) {
				t.Errorf("%s by %s: seen as %v, want %v", who, network, got, cl.sees)
			}
		}
	}
}

func TestKernelC33DatagramsFollowAReplacement(t *testing.T) {
	for _, at := range []string{"192.0.2.1:5353", "[2001:db8:1::1]:5353"} {
		t.Run(at, func(t *testing.T) { datagramsFollow(t, at) })
	}
}

func datagramsFollow(t *testing.T, at string) {
	c, n := alone(t)
	c.underlay6()
	far, near := c.guest6("far", "dmz", 1, 2), c.guest6("near", "lan", 0, 9)
	clients := map[string]net.Conn{}
	for name, ns := range map[string]*kerneltest.NS{"outside": c.outside, "far": far, "near": near, "host": n.host} {
		conn, err := dial(ns, "udp", ":0", at)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		clients[name] = conn
		// Sent before anything is published, it leaves a trace that must not be followed later.
		_, _ = conn.Write([]byte("early\n"))
	}
	for i, host := range []byte{2, 3, 2} {
		id := swarmnet.TaskID(fmt.Sprint("dns", i))
		serve(t, c.guest6(id, "lan", 0, host, publish("", 5353, 53)...), string(id), 53)
		for name, conn := range clients {
			got, _, err := say(conn)
			for range 5 { // what an earlier question was answered with, one from the time between or one that was asked again
				if err == nil && got == string(id) {
					break
				}
				got, _, err = say(conn)
			}
			if err != nil || got != string(id) {
				t.Errorf("%s, round %d: %q answered, want %s: %v", name, i, got, id, err)
			}
		}
		n.fabricNS().With(func(conn *nl.Conn) error { return conn.DelLink("ve-" + string(id)) })
		c.remove(id)
		c.apply()
		for _, conn := range clients { // nobody is there now
			_, _ = conn.Write([]byte("between\n"))
		}
	}
}
