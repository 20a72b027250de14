package nft

import (
	"sync"

	"github.com/swarmnet/swarmnet/internal/netns"
)

// Clocks tell whether anybody but their users changed tables: each transaction of ours names the generation that it follows, so whoever shares
// the clocks can step over it, and what was seen in force before it still is. The zero value is ready, and may be used by any goroutine.
type Clocks struct {
	mu    sync.Mutex
	by    map[uint64]*clock // by the namespace's cookie
	epoch uint64            // the last one given
	kept  map[netns.ID]kept // open connections, one a namespace
}

// clock is that of one namespace. Between two generations of one epoch nobody else changed anything.
type clock struct {
	gen   uint32
	epoch uint64
}

// maxClocks bounds what is kept of namespaces that may be gone: beyond it all is forgotten, which costs a dump each.
const maxClocks = 4096

// seen takes in the generation that a namespace has now, and returns the epoch.
func (c *Clocks) seen(cookie uint64, gen uint32) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.by[cookie]
	if k == nil {
		if c.by == nil || len(c.by) >= maxClocks {
			c.by = map[uint64]*clock{}
		}
		k = &clock{}
		c.by[cookie] = k
	}
	if k.epoch == 0 || k.gen != gen {
		c.epoch++
		k.gen, k.epoch = gen, c.epoch
	}
	return k.epoch
}

// stepped says that our own transactions led a namespace from one generation to another with nothing in between.
func (c *Clocks) stepped(cookie uint64, from, to uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.by[cookie]; k != nil && k.gen == from {
		k.gen = to
	}
}
