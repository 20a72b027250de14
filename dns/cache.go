package dns

import (
	"strings"
	"sync"
	"time"

	mdns "github.com/miekg/dns"
)

// Longest stays in the cache, whatever an upstream allows: sandboxes are to notice changes soon.
const (
	maxPositive = 60 * time.Second
	maxNegative = 10 * time.Second // RFC 2308
)

// cache keeps a few answers of upstreams. When it is full it forgets any one: the map's order is random enough.
type cache struct {
	limit int
	mu    sync.Mutex
	items map[cacheKey]cached
}

// cacheKey is what an answer depends on.
type cacheKey struct {
	name                 string
	qtype                uint16
	edns, do, cd, ad, rd bool
}

type cached struct {
	reply   *mdns.Msg
	from    time.Time
	expires time.Time
}

func newCache(limit int) *cache { return &cache{limit: limit, items: map[cacheKey]cached{}} }

func keyOf(q *mdns.Msg) cacheKey {
	k := cacheKey{name: strings.ToLower(q.Question[0].Name), qtype: q.Question[0].Qtype, cd: q.CheckingDisabled, ad: q.AuthenticatedData, rd: q.RecursionDesired}
	if opt := q.IsEdns0(); opt != nil {
		k.edns, k.do = true, opt.Do()
	}
	return k
}

// get returns a copy of an answer, with what is left of its times to live.
func (c *cache) get(q *mdns.Msg, now time.Time) *mdns.Msg {
	k := keyOf(q)
	c.mu.Lock()
	item, ok := c.items[k]
	if ok && !now.Before(item.expires) {
		delete(c.items, k)
		ok = false
	}
	c.mu.Unlock()
	if !ok {
		return nil
	}
	reply := item.reply.Copy()
	age := uint32(now.Sub(item.from) / time.Second)
	for _, rr := range records3(reply) {
		if h := rr.Header(); h.Rrtype != mdns.TypeOPT {
			h.Ttl -= min(h.Ttl, age)
		}
	}
	return reply
}

func (c *cache) put(q, reply *mdns.Msg, now time.Time) {
	life := lifetime(reply)
	if life <= 0 || reply.Truncated {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.items {
		if len(c.items) < c.limit {
			break
		}
		delete(c.items, k)
	}
	c.items[keyOf(q)] = cached{reply: reply.Copy(), from: now, expires: now.Add(life)}
}

// lifetime is how long an answer may be kept: as its shortest-lived record, or as its SOA allows a denial (RFC 2308 section 5).
func lifetime(m *mdns.Msg) time.Duration {
	life, denial := maxPositive, len(m.Answer) == 0
	if denial {
		life = 0
	}
	for _, rr := range records3(m) {
		h := rr.Header()
		ttl := h.Ttl
		if soa, ok := rr.(*mdns.SOA); ok && denial {
			ttl = min(ttl, soa.Minttl)
			life = min(maxNegative, time.Duration(ttl)*time.Second)
			continue
		}
		if !denial && h.Rrtype != mdns.TypeOPT {
			life = min(life, time.Duration(ttl)*time.Second)
		}
	}
	return life
}

func records3(m *mdns.Msg) []mdns.RR {
	out := make([]mdns.RR, 0, len(m.Answer)+len(m.Ns)+len(m.Extra))
	return append(append(append(out, m.Answer...), m.Ns...), m.Extra...)
}
