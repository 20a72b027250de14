package whoami

import (
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lingerFor is how long connections that are kept alive may take to ask once more, and so to hear that they are about to be closed.
	lingerFor = time.Second
	// quietFor is for how long no connection must have come before the listener is closed: one that its client has, and that has not been
	// accepted yet, would be reset.
	quietFor  = 100 * time.Millisecond
	quietLook = 10 * time.Millisecond
	// lingerMost bounds all of it, should connections never cease to come.
	lingerMost = 5 * time.Second
)

// closing ends a server without failing a request. net/http closes idle connections at once, and a request that is on its way then has
// nobody to answer it. Here every answer says "Connection: close" from the moment on at which the server is to end, and only connections that
// say nothing for a while are closed under their client. New connections are served meanwhile, and those that wait to be accepted are.
type closing struct {
	backlog func() int // connections that wait to be accepted

	mu    sync.Mutex
	open  map[net.Conn]bool
	begun bool
	last  time.Time // when a connection came
}

func newClosing(l net.Listener) *closing {
	return &closing{backlog: func() int { return backlog(l) }, open: map[net.Conn]bool{}}
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
		c.open[conn], c.last = true, time.Now()
	case http.StateClosed, http.StateHijacked:
		delete(c.open, conn)
	}
}

// wait returns when no connection is open or about to be, or after a while.
func (c *closing) wait() {
	c.mu.Lock()
	c.begun, c.last = true, time.Now()
	began := c.last
	c.mu.Unlock()
	tick := time.NewTicker(quietLook)
	defer tick.Stop()
	for waiting := c.backlog(); ; waiting = c.backlog() { // before the open ones are counted: what leaves the one is among the other
		now := <-tick.C
		c.mu.Lock()
		open, quiet := len(c.open), now.Sub(c.last) >= quietFor
		c.mu.Unlock()
		switch took := now.Sub(began); {
		case waiting == 0 && quiet && (open == 0 || took >= lingerFor), took >= lingerMost:
			return
		}
	}
}

// backlog is how many connections of a listener wait to be accepted: the kernel says so in tcpi_unacked (tcp_get_info in net/ipv4/tcp.c).
func backlog(l net.Listener) (n int) {
	sc, ok := l.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(fd uintptr) { //nolint:errcheck // it is closed: nobody waits
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = int(info.Unacked)
		}
	})
	return n
}
