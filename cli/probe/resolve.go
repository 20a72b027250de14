package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

// Resolved is a name server's answer.
type Resolved struct {
	Rcode     string        `json:"rcode,omitempty"`
	Answers   []string      `json:"answers"` // of the type that was asked for: addresses, names
	Authority []string      `json:"authority,omitempty"`
	Truncated bool          `json:"truncated,omitempty"`
	TTL       uint32        `json:"ttl,omitempty"`
	Took      time.Duration `json:"took"`
	Err       string        `json:"err,omitempty"`
}

// Resolve asks one name server one question, over UDP or TCP, with room for an answer of edns octets (RFC 6891; 0: without).
func Resolve(ctx context.Context, server, name, qtype string, tcp bool, edns uint16) (Resolved, error) {
	t, ok := dns.StringToType[strings.ToUpper(qtype)]
	if !ok {
		return Resolved{}, fmt.Errorf("%q is not a type of record", qtype)
	}
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), t)
	if edns != 0 {
		m.SetEdns0(edns, false)
	}
	c := &dns.Client{Timeout: 10 * time.Second, Net: "udp"}
	if tcp {
		c.Net = "tcp"
	}
	reply, took, err := c.ExchangeContext(ctx, m, server)
	r := Resolved{Answers: []string{}, Took: took}
	if err != nil {
		r.Err = err.Error()
		return r, nil
	}
	r.Rcode, r.Truncated = dns.RcodeToString[reply.Rcode], reply.Truncated
	for _, rr := range reply.Answer {
		if rr.Header().Rrtype != t {
			continue
		}
		r.TTL = rr.Header().Ttl
		r.Answers = append(r.Answers, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	for _, rr := range reply.Ns {
		r.Authority = append(r.Authority, dns.TypeToString[rr.Header().Rrtype])
	}
	slices.Sort(r.Answers)
	return r, nil
}

// Nameserve is a name server for tests: it knows the addresses of names, fails on command, and writes each question as a line of JSON.
type Nameserve struct {
	Addr  string                  // ADDRESS:PORT
	Names map[string][]netip.Addr // fully qualified, lower case
	// Rcodes are names whose answer is a code alone.
	Rcodes map[string]int
	Out    io.Writer

	mu sync.Mutex
}

// Asked is one question that came to a Nameserve.
type Asked struct {
	Name, Type, From string
	TCP              bool
}

// Run serves until ctx ends.
func (n *Nameserve) Run(ctx context.Context) error {
	udp, err := net.ListenPacket("udp", n.Addr)
	if err != nil {
		return fmt.Errorf("cannot serve names: %w", err)
	}
	tcp, err := net.Listen("tcp", n.Addr)
	if err != nil {
		udp.Close()
		return fmt.Errorf("cannot serve names: %w", err)
	}
	handler := dns.HandlerFunc(n.answer)
	servers := []*dns.Server{{PacketConn: udp, Handler: handler}, {Listener: tcp, Handler: handler}}
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range servers {
		g.Go(s.ActivateAndServe)
	}
	g.Go(func() error {
		<-ctx.Done()
		return errors.Join(udp.Close(), tcp.Close())
	})
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

func (n *Nameserve) answer(w dns.ResponseWriter, q *dns.Msg) {
	if len(q.Question) != 1 {
		return
	}
	question := q.Question[0]
	name := strings.ToLower(question.Name)
	n.note(Asked{Name: name, Type: dns.TypeToString[question.Qtype], From: w.RemoteAddr().String(), TCP: w.RemoteAddr().Network() == "tcp"})
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	addrs, known := n.Names[name]
	code, failing := n.Rcodes[name]
	switch {
	case failing:
		m.Rcode = code
	case !known:
		m.Rcode = dns.RcodeNameError
		m.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: "example.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60}, Ns: "ns.example.", Mbox: "me.example.", Minttl: 60}}
	}
	for _, a := range addrs {
		h := dns.RR_Header{Name: question.Name, Class: dns.ClassINET, Ttl: 60}
		switch {
		case a.Is4() && question.Qtype == dns.TypeA:
			h.Rrtype = dns.TypeA
			m.Answer = append(m.Answer, &dns.A{Hdr: h, A: a.AsSlice()})
		case a.Is6() && question.Qtype == dns.TypeAAAA:
			h.Rrtype = dns.TypeAAAA
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: h, AAAA: a.AsSlice()})
		}
	}
	if w.RemoteAddr().Network() == "udp" {
		size := dns.MinMsgSize
		if o := q.IsEdns0(); o != nil {
			size = int(o.UDPSize())
		}
		m.Truncate(size)
	}
	w.WriteMsg(m) //nolint:errcheck // the client went away
}

func (n *Nameserve) note(a Asked) {
	n.mu.Lock()
	defer n.mu.Unlock()
	json.NewEncoder(n.Out).Encode(a) //nolint:errcheck // the reader went away
}
