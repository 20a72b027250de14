package cli

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
)

// Many are dealt with at once, and told in the order in which they were named, errors too.
func TestAtOnce(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out, atOnce: 3}
	var (
		mu       sync.Mutex
		now, top int
		last     = make(chan struct{})
		once     sync.Once
	)
	err := a.eachAtOnce(strings.Fields("a b c d e"), func(ref string) error {
		mu.Lock()
		now++
		top = max(top, now)
		if now == 3 {
			once.Do(func() { close(last) })
		}
		mu.Unlock()
		<-last // three at a time, or this never ends
		defer func() { mu.Lock(); now--; mu.Unlock() }()
		if ref == "b" || ref == "d" {
			return errors.New("no " + ref)
		}
		return nil
	})
	if out.String() != "a\nc\ne\n" || err == nil || err.Error() != "no b\nno d" || top != 3 {
		t.Errorf("%q, %v, %d at once", out.String(), err, top)
	}
}
