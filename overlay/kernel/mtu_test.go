package kernel

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/pathmtu"
	probe "github.com/swarmnet/swarmnet/pathmtu/kernel"
)

// prober is what a host's agent probes with.
func (h *host) prober() probe.Prober {
	self, _ := pathmtu.PeerOf(h.site.set.Nodes[h.id])
	return probe.Prober{HostNS: h.Path, Fabric: h.fabric.Path(), Self: self, Port: h.site.set.Cluster.DataPathPort, VNI: swarmnet.FirstVNI, Pause: 150 * time.Millisecond}
}

func (h *host) search(to *host, last int) (route, size int, err error) {
	peer, _ := pathmtu.PeerOf(h.site.set.Nodes[to.id])
	return h.prober().Search(context.Background(), peer, last)
}

// A way that drops what is too large without a word is found out, in either direction, whatever the devices of the overlay take; and that it takes
// all again, too.
func TestKernelPathMTU(t *testing.T) {
	s := newSite(t, 2)
	s.converge()
	a, b := s.hosts[0], s.hosts[1]
	narrow := func(mtu int) {
		s.underlay.With(func(c *nl.Conn) error { return c.SetMTU(s.underlay.Link("portb").Index, mtu) })
	}
	for _, c := range []struct{ mtu, last int }{
		{underlayMTU, 0}, {1399, underlayMTU}, {1399, 1399}, {1331, 1399}, {1360, 1331}, {1360, 0}, {underlayMTU, 1360},
	} {
		narrow(c.mtu)
		for _, from := range []*host{a, b} {
			to := map[*host]*host{a: b, b: a}[from]
			arrives := min(carries(from, to, c.mtu), underlayMTU)
			want := arrives
			if arrives < underlayMTU && c.last > 0 && c.last < arrives {
				want = c.last // more is looked for where all arrives, or not that
			}
			if route, size, err := from.search(to, c.last); err != nil || route != underlayMTU || size != want {
				t.Errorf("%s to %s, over an MTU of %d which lets %d arrive (last: %d): the route takes %d, and %d arrive, want %d: %v",
					from.id, to.id, c.mtu, arrives, c.last, route, size, want, err)
			}
		}
		if c.mtu == 1331 { // the overlay follows: its devices are smaller than what is probed for, from here on
			for id, n := range s.set.Nodes {
				n.Description.UnderlayMTU = 1331
				s.set.Nodes[id] = n
			}
			s.converge()
			if got := a.inFabric().Link("br-4096").MTU; got != 1331-50 {
				t.Fatalf("the ingress bridge has an MTU of %d", got)
			}
		}
	}
	// What a route is known to take bounds the search.
	a.With(func(c *nl.Conn) error { return c.SetMTU(a.Link("eth0").Index, 1400) })
	if route, size, err := a.search(b, 0); err != nil || route != 1400 || size != 1400 {
		t.Errorf("by a device of 1400: %d of %d: %v", size, route, err)
	}
	s.underlay.With(func(c *nl.Conn) error { return c.DelLink("portb") })
	if _, _, err := a.search(b, 1400); !errors.Is(err, pathmtu.ErrSilent) {
		t.Errorf("a node that is cut off: %v", err)
	}
}

// Connections that leave the overlay, and those that enter it, are told at once what the way takes, though both ends take more.
func TestKernelMSSClamp(t *testing.T) {
	s := newSite(t, 2, 1)
	box := s.hosts[0].addBox(1, 5)
	s.converge(box)
	outside, fabric := s.hosts[1], s.hosts[0].inFabric()
	const narrow = 1200
	fabric.With(func(c *nl.Conn) error { return c.SetMTU(fabric.Link(UplinkName).Index, narrow) })
	const at = "192.0.2.2:9000"
	var l net.Listener
	outside.Do(func() (err error) { l, err = net.Listen("tcp", at); return err })
	defer l.Close()
	var client net.Conn
	box.Do(func() (err error) {
		client, err = (&net.Dialer{Timeout: 5 * time.Second}).Dial("tcp", at)
		return err
	})
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for end, c := range map[string]net.Conn{"sandbox": client, "outside": server} {
		if got := sendMSS(t, c); got > narrow-40 || got < narrow-40-20 { // IP and TCP headers, and options
			t.Errorf("the %s sends segments of %d, want at most %d", end, got, narrow-40)
		}
	}
}

// sendMSS is the largest segment that an end of a connection sends now.
func sendMSS(t *testing.T, c net.Conn) (mss int) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if cerr := raw.Control(func(fd uintptr) { mss, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	return mss
}
