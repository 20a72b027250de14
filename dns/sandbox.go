package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/swarmnet/swarmnet"
)

// MaxInFlight is how many queries of one sandbox are forwarded at once; more are refused, so that it does not starve the others.
const MaxInFlight = 100

const (
	maxQuery = 4096 // octets; a query is one name and perhaps an OPT record
	maxConns = 16   // TCP connections of one sandbox at once
	idleConn = 10 * time.Second
)

// sandbox is one attached client: a goroutine for packets, one that accepts connections, one a connection and one a
// query that is being forwarded.
type sandbox struct {
	Sandbox
	srv      *Server
	place    atomic.Pointer[place]
	own      *forwarder // to the sandbox's own upstreams; nil: it has none
	inFlight chan struct{}
	refused  atomic.Uint64 // for want of a place in inFlight
	conns    chan struct{}
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup
}

type place struct {
	networks []swarmnet.NetworkID
	internal bool
}

func newSandbox(s *Server, sb Sandbox) *sandbox {
	c := &sandbox{Sandbox: sb, srv: s, inFlight: make(chan struct{}, MaxInFlight), conns: make(chan struct{}, maxConns)}
	c.place.Store(&place{networks: sb.Networks, internal: sb.Internal})
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	if len(sb.Upstreams) > 0 {
		dial := sb.Dial
		if dial == nil {
			dial = s.cfg.Dial
		}
		c.own = newForwarder(dial, s.cfg.Clock, 256)
	}
	return c
}

func (c *sandbox) start() {
	c.wg.Go(c.servePackets)
	if c.TCP != nil {
		c.wg.Go(c.serveConns)
	}
}

func (c *sandbox) close() {
	c.cancel()
	c.UDP.Close()
	if c.TCP != nil {
		c.TCP.Close()
	}
	c.wg.Wait()
}

// failed handles an error of a socket: true ends the loop. Others than "closed" pass (a client that is gone, memory that is short), but must not spin.
func (c *sandbox) failed(what string, err error) bool {
	if errors.Is(err, net.ErrClosed) || c.ctx.Err() != nil {
		return true
	}
	c.srv.cfg.Logger.Warn("dns: socket of a sandbox", "sandbox", c.ID, "op", what, "err", err)
	select {
	case <-c.ctx.Done():
		return true
	case <-time.After(100 * time.Millisecond):
		return false
	}
}

// servePackets answers known names by itself and leaves the rest to goroutines, so that slow upstreams delay nobody.
func (c *sandbox) servePackets() {
	in, out := make([]byte, maxQuery), make([]byte, 0, 1024)
	for {
		n, from, err := c.UDP.ReadFrom(in)
		if err != nil {
			if c.failed("read", err) {
				return
			}
			continue
		}
		q, reply := c.quick(in[:n])
		switch {
		case reply != nil:
			out = c.writePacket(q, reply, from, out)
		case q == nil:
		case !c.enter():
			out = c.writePacket(q, failure(q, mdns.RcodeRefused), from, out)
		default:
			c.wg.Go(func() {
				defer c.leave()
				c.writePacket(q, c.forward(c.ctx, q), from, nil)
			})
		}
	}
}

// writePacket sends a reply, cut to what the client takes (RFC 1035 section 4.2.1, RFC 6891 section 6.2.5). It returns
// the buffer for the next time.
func (c *sandbox) writePacket(q, reply *mdns.Msg, to net.Addr, buf []byte) []byte {
	size := mdns.MinMsgSize
	if q != nil {
		if opt := q.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
	}
	if len(reply.Answer)+len(reply.Ns)+len(reply.Extra) > 1 {
		reply.Truncate(size)
	}
	raw, err := reply.PackBuffer(buf[:cap(buf)])
	if err != nil {
		return buf
	}
	if _, err := c.UDP.WriteTo(raw, to); err != nil && c.ctx.Err() == nil {
		c.srv.cfg.Logger.Debug("dns: answer not sent", "sandbox", c.ID, "err", err)
	}
	if cap(raw) > cap(buf) {
		return raw[:0]
	}
	return buf
}

func (c *sandbox) enter() bool {
	select {
	case c.inFlight <- struct{}{}:
		return true
	default:
		c.refused.Add(1)
		c.srv.stats.refused.Add(1)
		return false
	}
}

func (c *sandbox) leave() { <-c.inFlight }

func (c *sandbox) serveConns() {
	for {
		conn, err := c.TCP.Accept()
		if err != nil {
			if c.failed("accept", err) {
				return
			}
			continue
		}
		select {
		case c.conns <- struct{}{}:
			c.wg.Go(func() {
				defer func() { <-c.conns }()
				c.serveConn(conn)
			})
		default:
			conn.Close()
		}
	}
}

// serveConn answers the queries of one connection in order (RFC 1035 section 4.2.2).
func (c *sandbox) serveConn(conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(c.ctx, func() { conn.Close() })()
	buf := make([]byte, maxQuery)
	for {
		if err := conn.SetDeadline(time.Now().Add(idleConn)); err != nil {
			return
		}
		var head [2]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(head[:]))
		if n > len(buf) {
			return
		}
		if _, err := io.ReadFull(conn, buf[:n]); err != nil {
			return
		}
		reply := c.answer(c.ctx, buf[:n])
		if reply == nil {
			return
		}
		raw, err := packForStream(reply)
		if err != nil {
			return
		}
		if _, err := conn.Write(raw); err != nil {
			return
		}
	}
}

// answer gives the whole answer to a query; nil: none.
func (c *sandbox) answer(ctx context.Context, raw []byte) *mdns.Msg {
	q, reply := c.quick(raw)
	switch {
	case reply != nil || q == nil:
		return reply
	case !c.enter():
		return failure(q, mdns.RcodeRefused)
	}
	defer c.leave()
	return c.forward(ctx, q)
}

// quick gives the reply that needs nobody else. Without one, q is to be forwarded; with neither, there is no answer.
func (c *sandbox) quick(raw []byte) (q, reply *mdns.Msg) {
	q, reply = c.parse(raw)
	if q != nil && reply == nil {
		reply = c.local(q)
	}
	return q, reply
}

func packForStream(m *mdns.Msg) ([]byte, error) {
	m.Truncate(mdns.MaxMsgSize)
	raw, err := m.PackBuffer(make([]byte, 0, 2048))
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint16(make([]byte, 0, len(raw)+2), uint16(len(raw))), raw...), nil
}
