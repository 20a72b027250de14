package dns

import (
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

// An answer is for one name and one type; the case of the name does not matter (RFC 4343).
func TestCacheKeepsQuestionsApart(t *testing.T) {
	c, now := newCache(10), time.Unix(1000, 0)
	q := question("a.example", mdns.TypeA)
	c.put(q, positive("192.0.2.1")(q, false), now)
	if c.get(question("A.Example", mdns.TypeA), now) == nil {
		t.Error("the name in other letters has no answer")
	}
	for _, other := range []*mdns.Msg{question("a.example", mdns.TypeAAAA), question("b.example", mdns.TypeA)} {
		if got := c.get(other, now); got != nil {
			t.Errorf("%v gets %v", other.Question, got.Answer)
		}
	}
}
