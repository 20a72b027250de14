package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
)

// polite is a server that ends without failing anybody: each answer is then the last one of its connection, which its name says (lastAnswer). Who asks
// once gets the last answer at once. It is the server that closes: its clients' ports are free for their next connection.
type polite struct {
	name   string
	ending atomic.Bool
	open   atomic.Int32 // connections
}

const lastAnswer, asksOnce = "!", "once-"

func servePolitely(t *testing.T, ns *kerneltest.NS, name string) *polite {
	t.Helper()
	p := &polite{name: name}
	var ln net.Listener
	ns.Do(func() (err error) { ln, err = net.Listen("tcp4", ":80"); return err })
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.open.Add(1)
			go p.serve(c)
		}
	}()
	return p
}

func (p *polite) serve(c net.Conn) {
	defer p.open.Add(-1)
	defer c.Close()
	for s := bufio.NewScanner(c); s.Scan(); {
		last := ""
		if p.ending.Load() || strings.HasPrefix(s.Text(), asksOnce) {
			last = lastAnswer
		}
		if _, err := fmt.Fprintf(c, "%s%s %s %s\n", p.name, last, c.RemoteAddr(), s.Text()); err != nil || last != "" {
			return
		}
	}
}

// crowd is many clients that ask all the time, each as soon as it has its answer.
type crowd struct {
	t    *testing.T
	stop atomic.Bool
	all  sync.WaitGroup

	mu     sync.Mutex
	times  []int // each client's exchanges
	failed []string
}

// join makes two more clients: one that keeps its connection, and one that makes a new one each time, from few ports in turn.
func (c *crowd) join(ns *kerneltest.NS, to string) {
	const ports = 4
	c.mu.Lock()
	kept := len(c.times)
	once := kept + 1
	c.times = append(c.times, 0, 0)
	c.mu.Unlock()
	c.all.Go(func() {
		var conn net.Conn
		c.ask(kept, func() (err error) {
			if conn == nil {
				if conn, err = dial(ns, "tcp", ":0", to); err != nil {
					return err
				}
			}
			name, _, err := say(conn)
			if err != nil || strings.HasSuffix(name, lastAnswer) || c.stop.Load() {
				conn.Close()
				conn = nil
			}
			return err
		})
	})
	c.all.Go(func() {
		port := 0
		c.ask(once, func() error {
			port++
			conn, err := dial(ns, "tcp", fmt.Sprintf(":%d", 10000+once*ports+port%ports), to)
			if errors.Is(err, syscall.EADDRNOTAVAIL) {
				return nil // its last connection has not ended yet
			}
			if err != nil {
				return err
			}
			defer conn.Close()
			_, _, err = sayLine(conn, fmt.Sprintf("%s%d", asksOnce, port))
			return err
		})
	})
}

// ask has a client ask until all are to stop.
func (c *crowd) ask(client int, once func() error) {
	for !c.stop.Load() {
		began := time.Now()
		err := once()
		c.mu.Lock()
		c.times[client]++
		if err != nil {
			c.failed = append(c.failed, fmt.Sprintf("client %d, after %v: %v", client, time.Since(began).Round(time.Millisecond), err))
		}
		c.mu.Unlock()
	}
}

// more waits until each client has asked n more times.
func (c *crowd) more(n int) {
	c.t.Helper()
	c.mu.Lock()
	before := append([]int(nil), c.times...)
	c.mu.Unlock()
	c.until(fmt.Sprintf("each client to ask %d more times", n), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, was := range before {
			if c.times[i] < was+n {
				return false
			}
		}
		return true
	})
}

func (c *crowd) until(what string, ok func() bool) {
	c.t.Helper()
	for began := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			c.t.Fatalf("%s: not within %v", what, time.Since(began))
		}
	}
}

// check fails the test if any request failed so far.
func (c *crowd) check(when string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.failed); n > 0 {
		c.t.Fatalf("%s: %d requests failed, the first one: %s", when, n, c.failed[0])
	}
}

// end has all clients end, and returns how often they asked.
func (c *crowd) end() (times int) {
	c.stop.Store(true)
	c.all.Wait()
	for _, n := range c.times {
		times += n
	}
	return times
}

// S31: no request fails while all tasks of a service are replaced by others and these by the first, in the way in which it is done: the new ones serve
// before they are led to, the old ones drain, end once every node has been told, and are removed.
func TestKernelConformanceNoFailedRequest(t *testing.T) {
	overBalancers(t, func(t *testing.T, newCluster makeCluster) {
		c := newCluster(t, 2)
		c.service("web", "10.0.1.200", swarmnet.PortSpec{Protocol: swarmnet.TCP, Published: 8080, Target: 80, Mode: swarmnet.PublishIngress})
		c.service("client", "10.0.1.201")
		caller := c.task("client", "c1", 0, "app", "10.0.1.20")
		type task struct {
			*polite
			ep swarmnet.PeerEndpoint
			is swarmnet.Task
		}
		var tasks []*task
		for i := range 4 {
			id := swarmnet.TaskID(fmt.Sprintf("t%d", i))
			ns := c.task("web", id, i%2, "app", fmt.Sprintf("10.0.1.1%d", i))
			tasks = append(tasks, &task{servePolitely(t, ns, string(id)), c.set.Endpoints[swarmnet.EndpointID(id)], c.set.Tasks[id]})
		}
		apply := func() { c.apply(); c.balance(0, "c1", caller) }
		for _, gone := range tasks[2:] {
			c.remove(gone.is.ID)
		}
		apply()
		crowd := &crowd{t: t}
		defer crowd.end()
		for range 8 {
			crowd.join(c.outside, c.nodes[0].under.String()+":8080")
			crowd.join(c.outside, c.nodes[1].under.String()+":8080")
			crowd.join(caller, "10.0.1.200:80")
		}
		for round := range 4 {
			old, fresh := tasks[:2], tasks[2:]
			if round%2 == 1 {
				old, fresh = fresh, old
			}
			crowd.more(5)
			for _, state := range []swarmnet.TaskState{swarmnet.TaskStarting, swarmnet.TaskRunning} {
				for _, f := range fresh {
					f.ending.Store(false)
					f.ep.State = state
					c.set.Tasks[f.is.ID], c.set.Endpoints[f.ep.ID] = f.is, f.ep
				}
				apply()
			}
			crowd.more(5)
			crowd.check(fmt.Sprintf("round %d, others have come", round))
			for _, o := range old {
				c.desire(o.is.ID, swarmnet.DesireDraining)
			}
			apply()
			crowd.more(2) // whose connection was about to be made has made it
			for _, o := range old {
				o.ending.Store(true)
			}
			for _, o := range old {
				crowd.until(o.name+" to have no connection", func() bool { return o.open.Load() == 0 })
			}
			crowd.check(fmt.Sprintf("round %d, the old ones have ended", round))
			for _, o := range old {
				c.remove(o.is.ID)
			}
			apply()
			crowd.more(5)
			crowd.check(fmt.Sprintf("round %d, the old ones are removed", round))
		}
		n := crowd.end()
		crowd.check("at the end")
		t.Logf("%d requests", n)
	})
}
