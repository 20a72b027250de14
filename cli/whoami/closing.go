package whoami

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// lingerFor is how long connections that are kept alive may take to ask once more, and so to hear that they are about to be closed.
const lingerFor = time.Second

// closing ends a server without failing a request. net/http closes idle connections at once, and a request that is on its way then has
// nobody to answer it. Here every answer says "Connection: close" from the moment on at which the server is to end, and only connections that
// say nothing for a while are closed under their client. New connections are served meanwhile.
type closing struct {
	mu    sync.Mutex
	open  map[net.Conn]bool
	begun bool
	none  chan struct{} // closed when begun and no connection is open
}

func (c *closing) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		begun := c.begun
		c.mu.Unlock()
		if begun {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

func (c *closing) changed(conn net.Conn, s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s {
	case http.StateNew:
		c.open[conn] = true
	case http.StateClosed, http.StateHijacked:
		delete(c.open, conn)
		if c.begun && len(c.open) == 0 && c.none != nil {
			close(c.none)
			c.none = nil
		}
	}
}

// wait returns when no connection is open, or after a while.
func (c *closing) wait(most time.Duration) {
	c.mu.Lock()
	c.begun = true
	none := make(chan struct{})
	if len(c.open) == 0 {
		close(none)
	} else {
		c.none = none
	}
	c.mu.Unlock()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-none:
	case <-timer.C:
	}
}
