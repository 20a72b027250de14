package nft

import (
	"time"

	"github.com/swarmnet/swarmnet/internal/netns"
)

// keepFor is how long a connection that has changed tables stays open for who comes next. To close it has the kernel free what was replaced (see
// Conn.Close), and hold the namespace's tables locked until it has: another transaction at that moment waits 10 ms and more.
const keepFor = time.Second

// kept is an open connection that nobody uses.
type kept struct {
	conn  *Conn
	timer *time.Timer // closes it
}

// With calls fn with a connection to the namespace, one that is open already if there is any. The namespace may live on for keepFor because of it: that
// is for those that outlast the daemon, not for a sandbox.
func (c *Clocks) With(ns *netns.Handle, fn func(*Conn) error) error {
	id, err := ns.ID()
	if err != nil {
		return err
	}
	conn := c.take(id)
	if conn == nil {
		if conn, err = OpenWith(ns, c); err != nil {
			return err
		}
	}
	if err := fn(conn); err != nil { // answers may be left in it
		conn.Close()
		return err
	}
	c.keep(id, conn)
	return nil
}

func (c *Clocks) take(id netns.ID) *Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.kept[id]
	if !ok || !k.timer.Stop() { // it is being closed
		return nil
	}
	delete(c.kept, id)
	return k.conn
}

func (c *Clocks) keep(id netns.ID, conn *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, have := c.kept[id]; have || !conn.changed {
		conn.Close()
		return
	}
	if c.kept == nil {
		c.kept = map[netns.ID]kept{}
	}
	c.kept[id] = kept{conn, time.AfterFunc(keepFor, func() {
		c.mu.Lock()
		if k := c.kept[id]; k.conn == conn {
			delete(c.kept, id)
		}
		c.mu.Unlock()
		conn.c.Close()
	})}
}
