package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/sandbox"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/overlay"
)

const underlayMTU = 1500

// site is some hosts on one underlay switch, each with a fabric, and what the managers would tell them.
type site struct {
	t     testing.TB
	hosts []*host
	set   swarmnet.AssignmentSet // of no node in particular
	mtu   int                    // of the underlay
	// underlay is the switch, with ports porta, portb, …
	underlay *kerneltest.NS
}

// host is one host of a site: its namespace stands for the machine.
type host struct {
	*kerneltest.NS
	site      *site
	id        swarmnet.NodeID
	fabric    *Fabric
	sandboxes *sandbox.Sandboxes
}

func newSite(t testing.TB, n int, networks ...swarmnet.VNI) *site {
	t.Helper()
	kerneltest.Require(t, kerneltest.Bridge, kerneltest.VXLAN, kerneltest.NFTables)
	s := &site{t: t, set: swarmnet.EmptyAssignmentSet(), mtu: underlayMTU}
	s.set.Cluster.DataPathPort = swarmnet.DefaultDataPathPort
	s.addNetwork(swarmnet.FirstVNI, true)
	for _, v := range networks {
		s.addNetwork(v, false)
	}
	var ends []kerneltest.End
	for i := 1; i <= n; i++ {
		h := s.addHost(byte(i))
		ends = append(ends, kerneltest.End{NS: h.NS, Name: "eth0", Addrs: []string{fmt.Sprintf("192.0.2.%d/24", i), fmt.Sprintf("2001:db8:1::%d/64", i)}})
	}
	s.underlay = kerneltest.Switch(t, underlayMTU, ends...)
	return s
}

func networkID(v swarmnet.VNI) swarmnet.NetworkID { return swarmnet.NetworkID("net" + v.String()) }

// subnet of a network: 10.0.VNI.0/24, of the ingress network 10.255.0.0/24.
func subnet(v swarmnet.VNI, hostPart byte) netip.Prefix {
	if v == swarmnet.FirstVNI {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 255, 0, hostPart}), 24)
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(v), hostPart}), 24)
}

// subnet6 is the same for IPv6: fd00:VNI::/64.
func subnet6(v swarmnet.VNI, hostPart byte) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 2: byte(v >> 8), 3: byte(v), 15: hostPart}), 64)
}

func (s *site) addNetwork(v swarmnet.VNI, ingress bool) {
	s.set.Networks[networkID(v)] = swarmnet.Network{
		ID: networkID(v), VNI: v, Spec: swarmnet.NetworkSpec{Name: v.String(), Driver: swarmnet.DriverOverlay, Ingress: ingress},
		Subnets: []swarmnet.Subnet{
			{Prefix: subnet(v, 0), Gateway: subnet(v, 1).Addr()},
			{Prefix: subnet6(v, 0), Gateway: subnet6(v, 1).Addr()},
		},
	}
}

func (s *site) addHost(i byte) *host {
	id := swarmnet.NodeID(fmt.Sprintf("n%d", i))
	s.set.Nodes[id] = swarmnet.Node{
		ID: id, Index: uint16(i), Ingress: []netip.Prefix{subnet(swarmnet.FirstVNI, 10+i), subnet6(swarmnet.FirstVNI, 10+i)},
		Description: swarmnet.NodeDescription{VTEP: netip.AddrFrom4([4]byte{192, 0, 2, i})},
	}
	dir := s.t.TempDir()
	ns := kerneltest.NewNamespace(s.t)
	h := &host{NS: ns, site: s, id: id, fabric: New(Config{HostNS: ns.Path, NetnsDir: dir})}
	h.sandboxes = sandbox.New(sandbox.Config{NetnsDir: dir, FabricNS: h.fabric.Path()})
	s.t.Cleanup(func() {
		names, _ := h.sandboxes.List()
		for _, name := range names {
			if err := h.sandboxes.Delete(context.Background(), name); err != nil {
				s.t.Error(err)
			}
		}
		if err := h.fabric.Remove(context.Background()); err != nil {
			s.t.Error(err)
		}
	})
	s.hosts = append(s.hosts, h)
	return h
}

// box is a sandbox on one network.
type box struct {
	*kerneltest.NS
	host *host
	spec sandbox.Spec
	addr netip.Addr // IPv4
	six  netip.Addr
}

// addBox tells the site of a task with an endpoint; it is made with the next converge.
func (h *host) addBox(v swarmnet.VNI, hostPart byte) *box {
	p, p6 := subnet(v, hostPart), subnet6(v, hostPart)
	name := fmt.Sprintf("box%d-%d", v, hostPart)
	h.site.set.Endpoints[swarmnet.EndpointID(name)] = swarmnet.PeerEndpoint{Endpoint: swarmnet.Endpoint{
		ID: swarmnet.EndpointID(name), Network: networkID(v), Task: swarmnet.TaskID(name), Node: h.id, MAC: swarmnet.MACFor(p.Addr()), Addrs: []netip.Prefix{p, p6},
	}}
	h.site.set.Tasks[swarmnet.TaskID(name)] = swarmnet.Task{ID: swarmnet.TaskID(name), Node: h.id, Status: swarmnet.TaskStatus{State: swarmnet.TaskRunning}}
	spec := sandbox.Spec{Name: name, Interfaces: []sandbox.Interface{{
		Name: "eth0", MAC: swarmnet.MACFor(p.Addr()), Addrs: []netip.Prefix{p, p6}, MTU: underlayMTU - 50, VNI: v,
		DefaultVia: []netip.Addr{subnet(v, 1).Addr(), subnet6(v, 1).Addr()},
	}}}
	return &box{kerneltest.Adopt(h.site.t, h.sandboxes.Path(name)), h, spec, p.Addr(), p6.Addr()}
}

// desired is what the host's agent would compute.
func (h *host) desired() overlay.Desired {
	set := h.site.set
	set.Self = h.id
	set.Tasks = map[swarmnet.TaskID]swarmnet.Task{}
	for id, t := range h.site.set.Tasks {
		if t.Node == h.id {
			set.Tasks[id] = t
		}
	}
	return overlay.Compute(set, h.site.mtu, 0)
}

func (h *host) reconcile() []overlay.Op {
	h.site.t.Helper()
	ops, err := h.fabric.Reconcile(context.Background(), h.desired())
	if err != nil {
		h.site.t.Fatal(err)
	}
	return ops
}

// converge reconciles every host, then makes the boxes.
func (s *site) converge(boxes ...*box) {
	s.t.Helper()
	for _, h := range s.hosts {
		h.reconcile()
	}
	for _, b := range boxes {
		if err := b.host.sandboxes.Ensure(context.Background(), b.spec); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (h *host) inFabric() *kerneltest.NS { return kerneltest.Adopt(h.site.t, h.fabric.Path()) }

// serve answers every connection to addr in a namespace with the client's address as it is seen there, and size octets more.
func serve(t testing.TB, ns *kerneltest.NS, addr netip.AddrPort, size int) {
	t.Helper()
	var ln net.Listener
	ns.Do(func() (err error) { ln, err = net.Listen("tcp", addr.String()); return err })
	done := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, c.RemoteAddr().(*net.TCPAddr).IP)
			_, _ = io.CopyN(c, zeroes{}, int64(size))
			c.Close()
		}
	}()
}

type zeroes struct{}

func (zeroes) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// ask connects from a namespace and returns the address that the server saw, and how much it sent besides.
func ask(ns *kerneltest.NS, to netip.AddrPort, patience time.Duration) (seen string, size int, err error) {
	var c net.Conn
	ns.Do(func() error { c, err = net.DialTimeout("tcp", to.String(), patience); return nil })
	if err != nil {
		return "", 0, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", 0, err
	}
	all, err := io.ReadAll(c)
	seen, rest, ok := strings.Cut(string(all), "\n")
	if err == nil && !ok {
		err = errors.New("the answer is cut")
	}
	return seen, len(rest), err
}
