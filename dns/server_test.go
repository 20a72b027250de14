package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
	"github.com/swarmnet/swarmnet/internal/changes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster has network app with service web (a VIP) of two tasks and many, a dnsrr service of 100 tasks.
func cluster() *Records {
	set := swarmnet.EmptyAssignmentSet()
	set.Networks["app"] = swarmnet.Network{ID: "app", Spec: swarmnet.NetworkSpec{Name: "App"}}
	att := []swarmnet.NetworkAttachment{{Network: "app"}}
	set.Services["web"] = swarmnet.Service{ID: "web", Spec: swarmnet.ServiceSpec{Name: "web", Networks: att}, VIPs: []swarmnet.VIP{{Network: "app", Addr: netip.MustParseAddr("10.0.1.2")}}}
	set.Services["many"] = swarmnet.Service{ID: "many", Spec: swarmnet.ServiceSpec{Name: "many", Networks: att, EndpointMode: swarmnet.EndpointDNSRR}}
	add := func(service string, i int) {
		ep := swarmnet.PeerEndpoint{TaskName: fmt.Sprintf("%s.%d.x", service, i), Desired: swarmnet.DesireRunning, State: swarmnet.TaskRunning}
		ep.ID, ep.Network, ep.Node, ep.Service = swarmnet.EndpointID(ep.TaskName), "app", "n1", swarmnet.ServiceID(service)
		third := byte(1)
		if service == "many" {
			third = 2
		}
		ep.Addrs = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, third, byte(10 + i)}), 24)}
		set.Endpoints[ep.ID] = ep
	}
	add("web", 1)
	add("web", 2)
	for i := range 100 {
		add("many", i)
	}
	return new(Book).Compute(new(changes.Log).Next(set, gossip.View{}))
}

// upstream is a name server on loopback, over UDP and TCP, that answers as told.
type upstream struct {
	addr  netip.AddrPort
	asked atomic.Int64
}

func newUpstream(t testing.TB, answer func(q *mdns.Msg, tcp bool) *mdns.Msg) *upstream {
	t.Helper()
	u := &upstream{}
	udp, tcp := sockets(t)
	u.addr = netip.MustParseAddrPort(udp.LocalAddr().String())
	handler := mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		u.asked.Add(1)
		if r := answer(q, w.RemoteAddr().Network() == "tcp"); r != nil {
			w.WriteMsg(r)
		}
	})
	var wg sync.WaitGroup
	for _, s := range []*mdns.Server{{PacketConn: udp, Handler: handler}, {Listener: tcp, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		wg.Go(func() { s.ActivateAndServe() })
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { udp.Close(); tcp.Close() })
	return u
}

// sockets returns a packet socket and a listener on one free port of loopback.
func sockets(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if udp, err := net.ListenPacket("udp", tcp.Addr().String()); err == nil {
			return udp, tcp
		}
		tcp.Close()
	}
	t.Fatal("no port is free for both TCP and UDP")
	return nil, nil
}

func positive(addr string) func(*mdns.Msg, bool) *mdns.Msg {
	return func(q *mdns.Msg, _ bool) *mdns.Msg {
		r := new(mdns.Msg).SetReply(q)
		r.Answer = []mdns.RR{&mdns.A{Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeA, Class: mdns.ClassINET, Ttl: 30}, A: net.ParseIP(addr)}}
		return r
	}
}

func rcode(code int) func(*mdns.Msg, bool) *mdns.Msg {
	return func(q *mdns.Msg, _ bool) *mdns.Msg { return new(mdns.Msg).SetRcode(q, code) }
}

func silence(*mdns.Msg, bool) *mdns.Msg { return nil }

// client is one attached sandbox.
type client struct {
	t    testing.TB
	addr string
	srv  *Server
}

// serve starts a server with the given host upstreams and one sandbox on network app.
func serve(t testing.TB, sb Sandbox, upstreams ...*upstream) *client {
	t.Helper()
	var addrs []netip.AddrPort
	for _, u := range upstreams {
		addrs = append(addrs, u.addr)
	}
	s := NewServer(Config{Upstreams: func() []netip.AddrPort { return addrs }})
	s.Update(cluster())
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	t.Cleanup(func() { stop(); wg.Wait() })
	return attach(t, s, sb)
}

func attach(t testing.TB, s *Server, sb Sandbox) *client {
	t.Helper()
	sb.UDP, sb.TCP = sockets(t)
	if sb.ID == "" {
		sb.ID = "task"
	}
	if sb.Networks == nil {
		sb.Networks = []swarmnet.NetworkID{"app"}
	}
	if err := s.Attach(sb); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, addr: sb.UDP.LocalAddr().String(), srv: s}
}

func question(name string, qtype uint16) *mdns.Msg {
	return new(mdns.Msg).SetQuestion(mdns.Fqdn(name), qtype)
}

func (c *client) exchange(network string, q *mdns.Msg) *mdns.Msg {
	c.t.Helper()
	r, _, err := (&mdns.Client{Net: network, Timeout: 8 * time.Second}).Exchange(q, c.addr)
	if err != nil {
		c.t.Fatalf("%s: %v", q.Question[0].Name, err)
	}
	return r
}

// ask gives an answer as `RCODE RDATA…`.
func (c *client) ask(name string, qtype uint16) string {
	c.t.Helper()
	return brief(c.exchange("udp", question(name, qtype)))
}

func brief(r *mdns.Msg) string {
	out := mdns.RcodeToString[r.Rcode]
	for _, rr := range r.Answer {
		out += strings.Replace(rr.String(), rr.Header().String(), " ", 1)
	}
	return out
}

func TestLocalNames(t *testing.T) {
	up := newUpstream(t, rcode(mdns.RcodeNameError))
	c := serve(t, Sandbox{}, up)
	for _, want := range []struct {
		name   string
		qtype  uint16
		answer string
	}{
		{"web", mdns.TypeA, "NOERROR 10.0.1.2"},
		{"WeB.aPP", mdns.TypeA, "NOERROR 10.0.1.2"},
		{"web", mdns.TypeAAAA, "NOERROR"},
		{"web", mdns.TypeMX, "NOERROR"},
		{"web.1.x", mdns.TypeA, "NOERROR 10.0.1.11"},
		{"2.1.0.10.in-addr.arpa", mdns.TypePTR, "NOERROR web.app."},
	} {
		if got := c.ask(want.name, want.qtype); got != want.answer {
			t.Errorf("%s %s is %q, not %q", want.name, mdns.TypeToString[want.qtype], got, want.answer)
		}
	}
	if n := up.asked.Load(); n != 0 {
		t.Errorf("the upstream was asked %d times for names of the cluster", n)
	}
	if got := c.ask("nope", mdns.TypeA); got != "NXDOMAIN" {
		t.Errorf("an unknown name is %q", got)
	}
	if got := c.ask("1.2.0.192.in-addr.arpa", mdns.TypePTR); got != "NXDOMAIN" || up.asked.Load() != 2 {
		t.Errorf("an unknown address is %q, with %d questions to the upstream", got, up.asked.Load())
	}
	r := c.exchange("udp", question("wEb", mdns.TypeA))
	if h := r.Answer[0].Header(); h.Ttl != TTL || h.Name != "wEb." {
		t.Errorf("the record is %v: the TTL is %d s, the name as it was asked", r.Answer[0], TTL)
	}
}

// size is how many octets an answer had on the wire.
func size(r *mdns.Msg) int {
	r.Compress = true
	return r.Len()
}

func TestTasksComeInAnyOrder(t *testing.T) {
	c := serve(t, Sandbox{})
	first := map[string]bool{}
	for range 50 {
		f := strings.Fields(c.ask("tasks.web", mdns.TypeA))
		if len(f) != 3 {
			t.Fatalf("tasks.web is %v", f)
		}
		first[f[1]] = true
	}
	if len(first) != 2 {
		t.Errorf("of two tasks only %v ever comes first", first)
	}
}

func TestC45LargeAnswers(t *testing.T) {
	c := serve(t, Sandbox{})
	r := c.exchange("udp", question("many", mdns.TypeA))
	if !r.Truncated || size(r) > mdns.MinMsgSize || len(r.Answer) == 0 {
		t.Errorf("plain UDP: truncated %v, %d octets, %d records", r.Truncated, size(r), len(r.Answer))
	}
	if r = c.exchange("tcp", question("many", mdns.TypeA)); r.Truncated || len(r.Answer) != 100 {
		t.Errorf("TCP: truncated %v, %d records", r.Truncated, len(r.Answer))
	}
	if r = c.exchange("udp", question("many", mdns.TypeA).SetEdns0(4096, false)); r.Truncated || len(r.Answer) != 100 || r.IsEdns0() == nil {
		t.Errorf("EDNS: truncated %v, %d records, OPT %v", r.Truncated, len(r.Answer), r.IsEdns0())
	}
}

func TestC45LargeAnswersOfUpstreams(t *testing.T) {
	up := newUpstream(t, func(q *mdns.Msg, tcp bool) *mdns.Msg {
		r := new(mdns.Msg).SetReply(q)
		for i := range 200 {
			r.Answer = append(r.Answer, &mdns.A{Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeA, Class: mdns.ClassINET, Ttl: 9}, A: net.IPv4(192, 0, 2, byte(i))})
		}
		r.Compress = true
		if !tcp {
			r.Truncate(mdns.MinMsgSize)
		}
		return r
	})
	c := serve(t, Sandbox{}, up)
	if r := c.exchange("udp", question("big.example", mdns.TypeA)); !r.Truncated || size(r) > mdns.MinMsgSize {
		t.Errorf("plain UDP: truncated %v, %d octets", r.Truncated, size(r))
	}
	if r := c.exchange("tcp", question("big.example", mdns.TypeA)); r.Truncated || len(r.Answer) != 200 {
		t.Errorf("TCP: truncated %v, %d records", r.Truncated, len(r.Answer))
	}
}

func TestC45Upstreams(t *testing.T) {
	good, refuses, fails := newUpstream(t, positive("192.0.2.1")), newUpstream(t, rcode(mdns.RcodeRefused)), newUpstream(t, rcode(mdns.RcodeServerFailure))
	own := &upstream{addr: netip.AddrPortFrom(Address, 53)}
	for _, c := range []struct {
		what      string
		upstreams []*upstream
		want      string
	}{
		{"none", nil, "SERVFAIL"},
		{"refusal has the next one asked", []*upstream{refuses, fails, good}, "NOERROR 192.0.2.1"},
		{"none has an answer", []*upstream{refuses, fails}, "SERVFAIL"},
		{"a fourth is not asked", []*upstream{refuses, fails, refuses, good}, "SERVFAIL"},
		{"our own address does not count", []*upstream{own, refuses, fails, good}, "NOERROR 192.0.2.1"},
	} {
		t.Run(c.what, func(t *testing.T) {
			if got := serve(t, Sandbox{}, c.upstreams...).ask("example.com", mdns.TypeA); got != c.want {
				t.Errorf("got %q, not %q", got, c.want)
			}
		})
	}
}

func TestC45NameErrorIsPassedOnWithItsSOA(t *testing.T) {
	up := newUpstream(t, func(q *mdns.Msg, _ bool) *mdns.Msg {
		r := new(mdns.Msg).SetRcode(q, mdns.RcodeNameError)
		r.Ns = []mdns.RR{&mdns.SOA{Hdr: mdns.RR_Header{Name: "example.", Rrtype: mdns.TypeSOA, Class: mdns.ClassINET, Ttl: 60}, Ns: "a.", Mbox: "b.", Minttl: 30}}
		return r
	})
	second := newUpstream(t, positive("192.0.2.1"))
	c := serve(t, Sandbox{}, up, second)
	for range 2 { // the second answer is from the cache
		if r := c.exchange("udp", question("nope.example", mdns.TypeA)); r.Rcode != mdns.RcodeNameError || len(r.Ns) != 1 {
			t.Errorf("got %v", r)
		}
	}
	if up.asked.Load() != 1 || second.asked.Load() != 0 {
		t.Errorf("the upstreams were asked %d and %d times: a denial is an answer, and is kept for a while", up.asked.Load(), second.asked.Load())
	}
}

func TestC45ASilentUpstreamIsRacedThenBenched(t *testing.T) {
	dead, good := newUpstream(t, silence), newUpstream(t, positive("192.0.2.1"))
	c := serve(t, Sandbox{}, dead, good)
	began := time.Now()
	if got := c.ask("one.example", mdns.TypeA); got != "NOERROR 192.0.2.1" {
		t.Fatalf("got %q", got)
	}
	if took := time.Since(began); took < headStart || took >= patience {
		t.Errorf("the first answer took %v: the first upstream has a head start of %v", took, headStart)
	}
	for i := range 20 {
		c.ask(fmt.Sprintf("n%d.example", i), mdns.TypeA)
	}
	if n := dead.asked.Load(); n != 1 {
		t.Errorf("the silent upstream was asked %d times: once, then it is benched", n)
	}
}

func TestC46InternalSandboxes(t *testing.T) {
	host, inside := newUpstream(t, positive("192.0.2.1")), newUpstream(t, positive("10.0.1.99"))
	c := serve(t, Sandbox{Internal: true}, host)
	if got := c.ask("example.com", mdns.TypeA); got != "SERVFAIL" || host.asked.Load() != 0 {
		t.Errorf("got %q, and the host's upstream was asked %d times", got, host.asked.Load())
	}
	if got := c.ask("web", mdns.TypeA); got != "NOERROR 10.0.1.2" {
		t.Errorf("a name of the cluster is %q", got)
	}
	dialled := atomic.Int64{}
	own := attach(t, c.srv, Sandbox{ID: "own", Internal: true, Upstreams: []netip.AddrPort{inside.addr}, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialled.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}})
	if got := own.ask("example.com", mdns.TypeA); got != "NOERROR 10.0.1.99" || dialled.Load() != 1 {
		t.Errorf("with a server of its own: %q after %d dials", got, dialled.Load())
	}
	c.srv.Reconfigure("task", []swarmnet.NetworkID{}, false) // connected to one with a gateway, and no longer to app
	if got := c.ask("example.com", mdns.TypeA); got != "NOERROR 192.0.2.1" {
		t.Errorf("after a connect: %q", got)
	}
	if got := c.ask("web", mdns.TypeA); got != "NOERROR 192.0.2.1" {
		t.Errorf("after a disconnect web is still %q", got)
	}
}

func TestC48TooManyInFlightAreRefused(t *testing.T) {
	release := make(chan struct{})
	up := newUpstream(t, func(q *mdns.Msg, _ bool) *mdns.Msg { <-release; return positive("192.0.2.1")(q, false) })
	c := serve(t, Sandbox{}, up)
	t.Cleanup(sync.OnceFunc(func() { close(release) }))
	conn, err := net.Dial("udp", c.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range MaxInFlight + 20 {
		raw, err := question(fmt.Sprintf("q%d.example", i), mdns.TypeA).Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(raw); err != nil {
			t.Fatal(err)
		}
	}
	refused := 0
	buf := make([]byte, 4096)
	for refused < 20 {
		conn.SetReadDeadline(time.Now().Add(3 * time.Second))
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("after %d refusals: %v", refused, err)
		}
		r := new(mdns.Msg)
		if err := r.Unpack(buf[:n]); err != nil || r.Rcode != mdns.RcodeRefused {
			t.Fatalf("got %v (%v)", r, err)
		}
		refused++
	}
	if n := c.srv.Stats().Refused; n != 20 {
		t.Errorf("%d refusals are counted, not 20", n)
	}
	other := attach(t, c.srv, Sandbox{ID: "other"})
	if got := c.srv.Refused(); len(got) != 1 || got["task"] != 20 {
		t.Errorf("by sandbox they are %v", got)
	}
	if got := c.ask("web", mdns.TypeA); got != "NOERROR 10.0.1.2" {
		t.Errorf("a name of the cluster is %q meanwhile", got)
	}
	if got := other.ask("web", mdns.TypeA); got != "NOERROR 10.0.1.2" {
		t.Errorf("another sandbox gets %q meanwhile", got)
	}
}

func TestDetachEndsTheSandbox(t *testing.T) {
	c := serve(t, Sandbox{}, newUpstream(t, silence))
	conn, err := net.Dial("udp", c.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := question("slow.example", mdns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	conn.Write(raw)
	began := time.Now()
	c.srv.Detach("task")
	if took := time.Since(began); took >= patience {
		t.Errorf("Detach waited %v for a query in flight", took)
	}
	udp, err := net.ListenPacket("udp", c.addr)
	if err != nil {
		t.Fatalf("the socket is still open: %v", err)
	}
	udp.Close()
}

func TestFiles(t *testing.T) {
	host := []byte("# made by hand\nnameserver 192.0.2.53\nnameserver 127.0.0.11\nsearch corp.example\noptions ndots:2 edns0\n")
	for _, c := range []struct {
		cfg  swarmnet.DNSConfig
		want string
	}{
		{swarmnet.DNSConfig{}, "nameserver 127.0.0.11\nsearch corp.example\noptions edns0 ndots:0\n"},
		{swarmnet.DNSConfig{Search: []string{"."}, Options: []string{"ndots:1"}}, "nameserver 127.0.0.11\noptions ndots:1\n"},
		{swarmnet.DNSConfig{Search: []string{"a.example", "b.example"}}, "nameserver 127.0.0.11\nsearch a.example b.example\noptions edns0 ndots:0\n"},
	} {
		if got := string(ResolvConf(c.cfg, host)); got != c.want {
			t.Errorf("%+v gives\n%snot\n%s", c.cfg, got, c.want)
		}
	}
	if got := HostUpstreams(host); !slices.Equal(got, []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}) {
		t.Errorf("upstreams are %v", got)
	}
	got := string(Hosts("web1.example", []netip.Addr{netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("fd00::2")}, []swarmnet.HostEntry{{Name: "db", Addr: netip.MustParseAddr("192.0.2.9")}}))
	if want := hostsHead + "192.0.2.9\tdb\n10.0.1.2\tweb1.example web1\nfd00::2\tweb1.example web1\n"; got != want {
		t.Errorf("hosts is\n%snot\n%s", got, want)
	}
}
