package dns

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/swarmnet/swarmnet"
)

// bare returns a sandbox that is not attached to sockets, with an upstream that cannot be reached.
func bare(clock func() time.Time) *sandbox {
	s := NewServer(Config{
		Clock:     clock,
		Upstreams: func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")} },
		Dial:      func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed },
	})
	s.Update(cluster())
	return newSandbox(s, Sandbox{ID: "task", Networks: []swarmnet.NetworkID{"app"}})
}

func raw(t testing.TB, q *mdns.Msg) []byte {
	t.Helper()
	out, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// malformed are packets from the acceptance list.
func malformed(t testing.TB) map[string][]byte {
	good := raw(t, question("web", mdns.TypeA))
	head := func(questions uint16) []byte {
		b := make([]byte, headerLen)
		binary.BigEndian.PutUint16(b[4:], questions)
		return b
	}
	long := append(head(1), 64)
	long = append(long, bytes.Repeat([]byte{'a'}, 64)...)
	thousand := head(1000)
	for range 1000 {
		thousand = append(thousand, good[headerLen:]...)
	}
	return map[string][]byte{
		"a label of 64 octets":       append(long, 0, 0, 1, 0, 1),
		"a pointer to itself":        append(head(1), 0xc0, 12, 0, 1, 0, 1),
		"two pointers in a loop":     append(head(1), 0xc0, 14, 0xc0, 12, 0, 1, 0, 1),
		"a thousand questions":       thousand,
		"a thousand, but only named": head(1000),
		"no question":                head(0),
		"a question cut off":         good[:len(good)-3],
	}
}

func TestC49MalformedQueriesAreFormatErrors(t *testing.T) {
	c := bare(time.Now)
	for what, packet := range malformed(t) {
		reply := c.answer(t.Context(), packet)
		if reply == nil || reply.Rcode != mdns.RcodeFormatError {
			t.Errorf("%s: %v", what, reply)
		}
	}
	answer := raw(t, new(mdns.Msg).SetReply(question("web", mdns.TypeA)))
	for what, packet := range map[string][]byte{"nothing": nil, "half a header": answer[:6], "an answer": answer} {
		if reply := c.answer(t.Context(), packet); reply != nil {
			t.Errorf("%s is answered: %v", what, reply)
		}
	}
	status := question("web", mdns.TypeA)
	status.Opcode = mdns.OpcodeStatus
	if reply := c.answer(t.Context(), raw(t, status)); reply.Rcode != mdns.RcodeNotImplemented {
		t.Errorf("STATUS: %v", reply)
	}
	edns1 := question("web", mdns.TypeA).SetEdns0(4096, false)
	edns1.IsEdns0().SetVersion(1)
	if reply := c.answer(t.Context(), raw(t, edns1)); reply.Rcode != mdns.RcodeBadVers {
		t.Errorf("EDNS version 1: %v", reply)
	} else if _, err := reply.Pack(); err != nil {
		t.Errorf("BADVERS does not pack: %v", err)
	}
}

// The same through the sockets of a sandbox, whose resolver goes on to answer.
func TestC49MalformedQueriesOnTheWire(t *testing.T) {
	c := serve(t, Sandbox{})
	for what, packet := range malformed(t) {
		for _, network := range []string{"udp", "tcp"} {
			conn, err := net.Dial(network, c.addr)
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(5 * time.Second))
			framed := packet
			if network == "tcp" {
				framed = append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
			}
			if _, err := conn.Write(framed); err != nil {
				t.Fatal(err)
			}
			// A thousand questions are longer than any query: silence, or what the connection's end says.
			if len(packet) <= maxQuery {
				reply, err := (&mdns.Conn{Conn: conn}).ReadMsg()
				if err != nil || reply.Rcode != mdns.RcodeFormatError {
					t.Errorf("%s over %s: %v %v", what, network, reply, err)
				}
			}
			conn.Close()
			if r := c.exchange(network, question("web", mdns.TypeA)); len(r.Answer) != 1 {
				t.Errorf("after %s over %s: %v", what, network, r)
			}
		}
	}
}

func FuzzC49Query(f *testing.F) {
	for _, packet := range malformed(f) {
		f.Add(packet)
	}
	for _, name := range []string{"web", "many", "2.1.0.10.in-addr.arpa", strings.Repeat("0.", 32) + "ip6.arpa", "nope.example"} {
		f.Add(raw(f, question(name, mdns.TypeA)))
		f.Add(raw(f, question(name, mdns.TypePTR).SetEdns0(1232, true)))
	}
	c := bare(time.Now)
	f.Fuzz(func(t *testing.T, packet []byte) {
		reply := c.answer(t.Context(), packet)
		if reply == nil {
			return
		}
		if len(packet) < headerLen || reply.Id != binary.BigEndian.Uint16(packet) || !reply.Response {
			t.Fatalf("%x is answered by %v", packet, reply)
		}
		out, err := packForStream(reply)
		if err != nil {
			t.Fatalf("the answer to %x does not pack: %v", packet, err)
		}
		if err := new(mdns.Msg).Unpack(out[2:]); err != nil {
			t.Fatalf("the answer to %x does not unpack: %v", packet, err)
		}
	})
}

func TestCacheCountsTimeToLiveDown(t *testing.T) {
	c, q, now := newCache(2), question("a.example", mdns.TypeA), time.Unix(1000, 0)
	r := positive("192.0.2.1")(q, false)
	c.put(q, r, now)
	if got := c.get(q, now.Add(12*time.Second)); got == nil || got.Answer[0].Header().Ttl != 18 {
		t.Errorf("after 12 of 30 s: %v", got)
	}
	if got := c.get(q.Copy().SetEdns0(4096, true), now); got != nil {
		t.Errorf("a query for DNSSEC records gets an answer without: %v", got)
	}
	if got := c.get(q, now.Add(30*time.Second)); got != nil {
		t.Errorf("after all of its time: %v", got)
	}
	for i := range 10 {
		c.put(question(strings.Repeat("x", i+1), mdns.TypeA), r, now)
	}
	if n := len(c.items); n > 2 {
		t.Errorf("%d answers are kept, not 2", n)
	}
	c.put(q, new(mdns.Msg).SetRcode(q, mdns.RcodeServerFailure), now)
	if got := c.get(q, now); got != nil {
		t.Errorf("a failure was kept: %v", got)
	}
}

func TestReverseAddr(t *testing.T) {
	for _, addr := range []string{"10.0.1.2", "255.255.255.255", "fd00::1:2", "2001:db8:1234:5678:9abc:def0:1:2"} {
		name, err := mdns.ReverseAddr(addr)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := reverseAddr(strings.TrimSuffix(name, ".")); !ok || got != netip.MustParseAddr(addr) {
			t.Errorf("%s is read as %v", name, got)
		}
	}
	for _, name := range []string{"web", "1.2.3.in-addr.arpa", "256.1.1.1.in-addr.arpa", strings.Repeat("0", 63) + ".ip6.arpa", strings.Repeat("g.", 31) + "g.ip6.arpa"} {
		if got, ok := reverseAddr(name); ok {
			t.Errorf("%s is read as %v", name, got)
		}
	}
}

// BenchmarkAnswer is a query for a local name from packet to packet, without sockets.
func BenchmarkAnswer(b *testing.B) {
	for _, name := range []string{"web", "tasks.web", "many"} {
		b.Run(name, func(b *testing.B) {
			c, packet := bare(time.Now), raw(b, question(name, mdns.TypeA))
			buf := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				_, reply := c.quick(packet)
				if _, err := reply.PackBuffer(buf[:cap(buf)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkServe is the same through a socket, with one client that keeps some queries in flight. Run it with -cpu 1.
func BenchmarkServe(b *testing.B) {
	c := serve(b, Sandbox{})
	conn, err := net.Dial("udp", c.addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	packet, buf := raw(b, question("web", mdns.TypeA)), make([]byte, 4096)
	const window = 16
	for range window {
		conn.Write(packet)
	}
	b.ReportAllocs()
	for b.Loop() {
		conn.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := conn.Read(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Write(packet); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "queries/s")
}
