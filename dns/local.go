package dns

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"

	mdns "github.com/miekg/dns"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/dns/records"
)

const headerLen = 12

// parse reads a query. A reply is returned for one that is refused at once; neither for what gets no answer: what has no
// header, and answers, so that two resolvers never talk to each other for ever.
func (c *sandbox) parse(raw []byte) (q, reply *mdns.Msg) {
	if len(raw) < headerLen || raw[2]&0x80 != 0 {
		c.srv.stats.malformed.Add(1)
		return nil, nil
	}
	bare := &mdns.Msg{MsgHdr: mdns.MsgHdr{Id: binary.BigEndian.Uint16(raw), Opcode: int(raw[2]>>3) & 0xf, RecursionDesired: raw[2]&1 != 0}}
	if bare.Opcode != mdns.OpcodeQuery {
		return nil, failure(bare, mdns.RcodeNotImplemented)
	}
	q = new(mdns.Msg)
	if binary.BigEndian.Uint16(raw[4:]) != 1 || q.Unpack(raw) != nil || len(q.Question) != 1 {
		c.srv.stats.malformed.Add(1)
		return nil, failure(bare, mdns.RcodeFormatError)
	}
	if opt := q.IsEdns0(); opt != nil && opt.Version() != 0 {
		reply = failure(q, mdns.RcodeSuccess)
		reply.Extra = []mdns.RR{newOPT(opt.Do())}
		reply.Rcode = mdns.RcodeBadVers // its upper bits travel in the OPT record
		return q, reply
	}
	if q.Question[0].Qclass != mdns.ClassINET {
		return q, failure(q, mdns.RcodeRefused)
	}
	return q, nil
}

// local answers what the records know; nil: they don't, it is to be forwarded.
func (c *sandbox) local(q *mdns.Msg) *mdns.Msg {
	question := q.Question[0]
	name := lower(strings.TrimSuffix(question.Name, "."))
	networks, known := c.place.Load().networks, c.srv.records.Load()
	if addr, ok := reverseAddr(name); ok {
		target, ok := known.Reverse(networks, addr)
		if !ok {
			return nil
		}
		reply := c.known(q)
		if question.Qtype == mdns.TypePTR || question.Qtype == mdns.TypeANY {
			reply.Answer = []mdns.RR{&mdns.PTR{Hdr: header(question.Name, mdns.TypePTR), Ptr: mdns.Fqdn(target)}}
		}
		return reply
	}
	if strings.HasPrefix(name, "_") {
		if servers, ok := known.Services(networks, name); ok {
			return c.services(q, networks, servers)
		}
	}
	answer, ok := known.Lookup(networks, name)
	if !ok {
		return nil
	}
	reply := c.known(q)
	for _, a := range answer.Addrs {
		if rr := addressRecord(question, a); rr != nil {
			reply.Answer = append(reply.Answer, rr)
		}
	}
	if rrs := reply.Answer; answer.Rotate && len(rrs) > 1 {
		rand.Shuffle(len(rrs), func(i, j int) { rrs[i], rrs[j] = rrs[j], rrs[i] })
	}
	return reply
}

// services answers with SRV records, which weigh the same, and with the addresses of their targets (RFC 2782).
func (c *sandbox) services(q *mdns.Msg, networks []swarmnet.NetworkID, servers []records.Server) *mdns.Msg {
	question := q.Question[0]
	reply := c.known(q)
	if question.Qtype != mdns.TypeSRV && question.Qtype != mdns.TypeANY {
		return reply
	}
	for _, i := range rand.Perm(len(servers)) {
		s := servers[i]
		target := mdns.Fqdn(s.Target)
		reply.Answer = append(reply.Answer, &mdns.SRV{Hdr: header(question.Name, mdns.TypeSRV), Weight: 1, Port: s.Port, Target: target})
		answer, _ := c.srv.records.Load().Lookup(networks, s.Target)
		for _, a := range answer.Addrs {
			qtype := mdns.TypeA
			if a.Is6() {
				qtype = mdns.TypeAAAA
			}
			reply.Extra = append(reply.Extra, addressRecord(mdns.Question{Name: target, Qtype: qtype}, a))
		}
	}
	return reply
}

func (c *sandbox) known(q *mdns.Msg) *mdns.Msg {
	c.srv.stats.local.Add(1)
	reply := failure(q, mdns.RcodeSuccess)
	reply.Authoritative = true
	if opt := q.IsEdns0(); opt != nil {
		reply.Extra = []mdns.RR{newOPT(opt.Do())}
	}
	return reply
}

func header(name string, rrtype uint16) mdns.RR_Header {
	return mdns.RR_Header{Name: name, Rrtype: rrtype, Class: mdns.ClassINET, Ttl: TTL}
}

func addressRecord(q mdns.Question, a netip.Addr) mdns.RR {
	switch {
	case a.Is4() && (q.Qtype == mdns.TypeA || q.Qtype == mdns.TypeANY):
		return &mdns.A{Hdr: header(q.Name, mdns.TypeA), A: a.AsSlice()}
	case a.Is6() && (q.Qtype == mdns.TypeAAAA || q.Qtype == mdns.TypeANY):
		return &mdns.AAAA{Hdr: header(q.Name, mdns.TypeAAAA), AAAA: a.AsSlice()}
	}
	return nil
}

func newOPT(do bool) *mdns.OPT {
	opt := &mdns.OPT{Hdr: mdns.RR_Header{Name: ".", Rrtype: mdns.TypeOPT}}
	opt.SetUDPSize(maxQuery)
	if do {
		opt.SetDo()
	}
	return opt
}

// failure is a reply to q without records.
func failure(q *mdns.Msg, rcode int) *mdns.Msg {
	return &mdns.Msg{
		MsgHdr: mdns.MsgHdr{
			Id: q.Id, Opcode: q.Opcode, Response: true, Rcode: rcode,
			RecursionDesired: q.RecursionDesired, RecursionAvailable: true, CheckingDisabled: q.CheckingDisabled,
		},
		Compress: true,
		Question: q.Question,
	}
}

// lower is the name with ASCII letters in lower case (RFC 4343), without a copy where it is so already.
func lower(name string) string {
	for i := 0; i < len(name); i++ {
		if 'A' <= name[i] && name[i] <= 'Z' {
			return strings.ToLower(name)
		}
	}
	return name
}

// reverseAddr reads the address out of a name below in-addr.arpa (RFC 1035 section 3.5) or ip6.arpa (RFC 3596 section 2.5).
func reverseAddr(name string) (netip.Addr, bool) {
	if s, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		labels := strings.Split(s, ".")
		if len(labels) != 4 {
			return netip.Addr{}, false
		}
		var a [4]byte
		for i, l := range labels {
			n, err := strconv.ParseUint(l, 10, 8)
			if err != nil {
				return netip.Addr{}, false
			}
			a[3-i] = byte(n)
		}
		return netip.AddrFrom4(a), true
	}
	s, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok || len(s) != 63 {
		return netip.Addr{}, false
	}
	var digits [32]byte
	for i := range digits {
		digits[31-i] = s[2*i]
		if i < 31 && s[2*i+1] != '.' {
			return netip.Addr{}, false
		}
	}
	var a [16]byte
	if _, err := hex.Decode(a[:], digits[:]); err != nil {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16(a), true
}
