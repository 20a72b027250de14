package kernel

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/trace"
)

func prober(fabric, sandbox string) Prober {
	return Prober{Fabric: fabric, Stack: func(swarmnet.TaskID) (string, error) { return sandbox, nil }}
}

// Connections are tried from inside the sandbox, and told apart: taken, refused, silent, nowhere to go.
func TestKernelC61_Dial(t *testing.T) {
	box, peer := kerneltest.NewNamespace(t), kerneltest.NewNamespace(t)
	kerneltest.Veth(t, 1500, kerneltest.End{NS: box, Name: "eth0", Addrs: []string{"10.0.0.1/24"}}, kerneltest.End{NS: peer, Name: "eth0", Addrs: []string{"10.0.0.2/24"}})
	var l net.Listener
	peer.Do(func() (err error) {
		l, err = net.Listen("tcp", "10.0.0.2:80")
		return err
	})
	defer l.Close()
	// Packets to 10.0.0.3 leave and are lost: nobody answers for it, and the neighbour is known.
	box.With(func(c *nl.Conn) error {
		return c.SetNeighs([]nl.Neigh{{Index: box.Link("eth0").Index, Addr: netip.MustParseAddr("10.0.0.3"), MAC: swarmnet.MAC{2, 0, 0, 0, 0, 3}}})
	})
	p := prober("", box.Path)
	if took, err := p.Dial(t.Context(), "box", netip.MustParseAddrPort("10.0.0.2:80")); err != nil || took == "" {
		t.Errorf("a listener: %q, %v", took, err)
	}
	if _, err := p.Dial(t.Context(), "box", netip.MustParseAddrPort("10.0.0.2:81")); !errors.Is(err, trace.ErrRefused) {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := p.Dial(t.Context(), "box", netip.MustParseAddrPort("10.0.0.3:80")); !errors.Is(err, trace.ErrSilent) {
		t.Errorf("nobody answers: %v", err)
	}
	if _, err := p.Dial(t.Context(), "box", netip.MustParseAddrPort("198.51.100.1:80")); err == nil || !strings.Contains(err.Error(), "there is no way to it") {
		t.Errorf("no route: %v", err)
	}
	p = prober("", filepath.Join(t.TempDir(), "gone"))
	if _, err := p.Dial(t.Context(), "box", netip.MustParseAddrPort("10.0.0.2:80")); err == nil || !strings.Contains(err.Error(), "namespace is not there") {
		t.Errorf("no namespace: %v", err)
	}
}

func TestKernelC61_Forwarding(t *testing.T) {
	kerneltest.Require(t, kerneltest.VXLAN)
	fabric := kerneltest.NewNamespace(t)
	addr, mac, vtep := netip.MustParseAddr("10.0.1.4"), swarmnet.MAC{2, 0x42, 10, 0, 1, 4}, netip.MustParseAddr("192.0.2.2")
	p := prober(fabric.Path, "")
	if _, err := p.Forwarding(4097, mac, addr); err == nil || !strings.Contains(err.Error(), "no VXLAN device vx-4097") {
		t.Errorf("no device: %v", err)
	}
	var index int
	fabric.With(func(c *nl.Conn) error {
		if err := c.AddAddr(fabric.Link("lo").Index, netip.MustParsePrefix("192.0.2.1/32")); err != nil {
			return err
		}
		if err := c.AddVXLAN("vx-4097", 1450, nl.VXLAN{VNI: 4097, Local: netip.MustParseAddr("192.0.2.1"), Port: 4789, Proxy: true}, c.NS()); err != nil {
			return err
		}
		index = fabric.Link("vx-4097").Index
		return c.SetUp(index)
	})
	if f, err := p.Forwarding(4097, mac, addr); err != nil || f != (trace.Forwarding{}) {
		t.Errorf("no entries: %+v, %v", f, err)
	}
	fabric.With(func(c *nl.Conn) error {
		return c.SetNeighs([]nl.Neigh{{Index: index, Addr: addr, MAC: mac}, {Index: index, MAC: mac, VTEP: vtep}})
	})
	if f, err := p.Forwarding(4097, mac, addr); err != nil || f.MAC != mac || f.VTEP != vtep {
		t.Errorf("both entries: %+v, %v", f, err)
	}
	if _, err := prober(filepath.Join(t.TempDir(), "fabric"), "").Forwarding(4097, mac, addr); err == nil || !strings.Contains(err.Error(), "has no fabric") {
		t.Errorf("no fabric: %v", err)
	}
}

// The sandbox's own resolver is asked, at its address in the sandbox.
func TestKernelC61_Resolve(t *testing.T) {
	box := kerneltest.NewNamespace(t)
	var socket net.PacketConn
	box.Do(func() (err error) {
		socket, err = net.ListenPacket("udp", resolver)
		return err
	})
	srv := &dns.Server{PacketConn: socket, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		switch {
		case q.Question[0].Name == "web." && q.Question[0].Qtype == dns.TypeA:
			r.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "web.", Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(10, 0, 1, 2)}}
		case q.Question[0].Name == "web.":
		case q.Question[0].Name == "odd.":
			r.Rcode = dns.RcodeServerFailure
		default:
			r.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(r)
	})}
	ended := make(chan error, 1)
	go func() { ended <- srv.ActivateAndServe() }()
	p := prober("", box.Path)
	if got, err := p.Resolve(t.Context(), "box", "web"); err != nil || len(got) != 1 || got[0] != netip.MustParseAddr("10.0.1.2") {
		t.Errorf("a name: %v, %v", got, err)
	}
	if _, err := p.Resolve(t.Context(), "box", "nothing"); !errors.Is(err, trace.ErrNoName) {
		t.Errorf("no name: %v", err)
	}
	if _, err := p.Resolve(t.Context(), "box", "odd"); err == nil || !strings.Contains(err.Error(), "SERVFAIL") {
		t.Errorf("a failing resolver: %v", err)
	}
	if err := srv.Shutdown(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if _, err := p.Resolve(t.Context(), "box", "web"); err == nil {
		t.Error("a resolver that is gone answers")
	}
}
