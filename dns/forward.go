package dns

import (
	"context"
	"net/netip"
	"sync"
	"time"

	mdns "github.com/miekg/dns"
)

const (
	maxUpstreams = 3
	headStart    = 150 * time.Millisecond  // before the next upstream is asked as well
	patience     = 4500 * time.Millisecond // for all upstreams together: resolvers give up after 5 s
	benchTime    = 15 * time.Second
)

// forward asks upstreams on behalf of the sandbox. It always has a reply.
func (c *sandbox) forward(ctx context.Context, q *mdns.Msg) *mdns.Msg {
	c.srv.stats.forwarded.Add(1)
	var reply *mdns.Msg
	switch {
	case c.own != nil:
		reply = c.own.ask(ctx, q, c.Upstreams)
	case !c.place.Load().internal:
		reply = c.srv.host.ask(ctx, q, c.srv.cfg.Upstreams())
	}
	if reply == nil {
		c.srv.stats.failed.Add(1)
		return failure(q, mdns.RcodeServerFailure)
	}
	reply.Id, reply.Question, reply.Response, reply.Compress = q.Id, q.Question, true, true
	return reply
}

// forwarder asks one set of upstreams and remembers which of them fail, and what they said.
type forwarder struct {
	dial  Dial
	now   func() time.Time
	cache *cache

	mu      sync.Mutex
	benched map[netip.AddrPort]time.Time // until when
}

func newForwarder(dial Dial, now func() time.Time, cached int) *forwarder {
	return &forwarder{dial: dial, now: now, cache: newCache(cached), benched: map[netip.AddrPort]time.Time{}}
}

type outcome struct {
	from  int
	reply *mdns.Msg
	err   error
}

// ask races the upstreams: each gets a head start before the next one. NOERROR and NXDOMAIN are answers; anything else has
// the next one asked at once. nil: nobody had an answer.
func (f *forwarder) ask(parent context.Context, q *mdns.Msg, upstreams []netip.AddrPort) *mdns.Msg {
	if reply := f.cache.get(q, f.now()); reply != nil {
		return reply
	}
	upstreams = f.order(upstreams)
	if len(upstreams) == 0 {
		return nil
	}
	var attempts sync.WaitGroup
	defer attempts.Wait()
	ctx, cancel := context.WithTimeout(parent, patience)
	defer cancel()
	out := upstreamQuery(q)
	results := make(chan outcome, len(upstreams)) // room for all: no attempt waits to be heard
	started, ended := 0, make([]bool, len(upstreams))
	next := func() {
		if i := started; i < len(upstreams) {
			started++
			attempts.Go(func() {
				reply, err := exchange(ctx, f.dial, upstreams[i], out)
				results <- outcome{i, reply, err}
			})
		}
	}
	next()
	timer := time.NewTicker(headStart)
	defer timer.Stop()
	for failed := 0; failed < len(upstreams); {
		select {
		case <-ctx.Done():
			if parent.Err() == nil {
				f.bench(upstreams[:started], ended)
			}
			return nil
		case <-timer.C:
			next()
		case r := <-results:
			ended[r.from] = true
			if r.err == nil && (r.reply.Rcode == mdns.RcodeSuccess || r.reply.Rcode == mdns.RcodeNameError) {
				f.bench(upstreams[:r.from], ended) // those had a head start and said nothing
				f.cache.put(q, r.reply, f.now())
				return r.reply
			}
			if r.err != nil && parent.Err() == nil {
				f.bench(upstreams[r.from:r.from+1], nil)
			}
			failed++
			next()
			timer.Reset(headStart)
		}
	}
	return nil
}

// order leaves our own address out, puts benched upstreams last, and takes the first few.
func (f *forwarder) order(upstreams []netip.AddrPort) []netip.AddrPort {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	var good, bad []netip.AddrPort
	for _, u := range upstreams {
		if !u.IsValid() || u.Addr().Unmap() == Address {
			continue
		}
		if len(good)+len(bad) == maxUpstreams {
			break
		}
		if f.benched[u].After(now) {
			bad = append(bad, u)
		} else {
			good = append(good, u)
		}
	}
	return append(good, bad...)
}

// bench has the upstreams that did not end asked last for a while.
func (f *forwarder) bench(upstreams []netip.AddrPort, ended []bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	for u, until := range f.benched {
		if !until.After(now) {
			delete(f.benched, u)
		}
	}
	for i, u := range upstreams {
		if ended == nil || !ended[i] {
			f.benched[u] = now.Add(benchTime)
		}
	}
}

// upstreamQuery is what is passed on of a query: its question and flags, and of its OPT record whether DNSSEC records are wanted.
// Other options (cookies, client subnets) are between the client and us.
func upstreamQuery(q *mdns.Msg) *mdns.Msg {
	out := &mdns.Msg{
		MsgHdr:   mdns.MsgHdr{RecursionDesired: q.RecursionDesired, CheckingDisabled: q.CheckingDisabled, AuthenticatedData: q.AuthenticatedData},
		Question: q.Question,
	}
	if opt := q.IsEdns0(); opt != nil {
		o := newOPT(opt.Do())
		o.SetUDPSize(ednsSize)
		out.Extra = []mdns.RR{o}
	}
	return out
}
