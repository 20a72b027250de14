package member

import (
	"errors"
	"fmt"
	"log"
	"net/netip"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
	"github.com/swarmnet/swarmnet/internal/pulse"
)

// memberlistConfig says how deaths are found. With a probe every 500 ms by each member and a suspicion of 3 probe
// intervals (1.5 s; twice that while nobody confirms it), a power cut in a small cluster is known to all after 2.5 to 3 s. Until
// then a suspect may object, over UDP or TCP, directly or through four others: with six spinning processes a core no false alarm
// was seen. A member that is itself too slow to probe in time notices it (awareness) and gives the others up to four times as long.
func (m *Member) memberlistConfig() *memberlist.Config {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := memberlist.DefaultLANConfig()
	c.Name = string(m.cfg.NodeID)
	c.BindAddr, c.BindPort = m.cfg.BindAddr.Addr().String(), int(m.cfg.BindAddr.Port())
	if a := m.cfg.Advertise; !a.Addr().IsUnspecified() {
		c.AdvertiseAddr, c.AdvertisePort = a.Addr().String(), int(a.Port())
	}
	c.Label = string(m.set.ClusterID)
	c.Keyring = m.keyring

	c.ProbeInterval, c.ProbeTimeout, c.IndirectChecks = 500*time.Millisecond, 200*time.Millisecond, 4
	c.SuspicionMult, c.SuspicionMaxTimeoutMult, c.AwarenessMaxMultiplier = 2, 2, 4
	c.GossipInterval, c.GossipNodes, c.GossipToTheDeadTime = 200*time.Millisecond, 4, time.Minute
	c.PushPullInterval = 15 * time.Second
	c.TCPTimeout = 2 * time.Second
	c.DeadNodeReclaimTime = time.Second // a node may come back with another address
	c.EnableCompression = false
	c.HandoffQueueDepth = 4096
	c.UDPBufferSize = 1232 // memberlist's own packets; see maxPacket

	d := &delegate{m: m}
	c.Delegate, c.Events, c.Alive = d, d, d
	c.Logger = log.New(logWriter{m}, "", 0)
	return c
}

// create has memberlist listen.
func (m *Member) create() (*memberlist.Memberlist, error) {
	c := m.memberlistConfig()
	t, err := newTransport(c)
	if err != nil {
		return nil, err
	}
	c.Transport = t
	if m.wrap != nil {
		c.Transport = m.wrap(t)
	}
	pulse.Join() // its probes are what wakes an idle node most often
	list, err := memberlist.Create(c)
	if err != nil {
		return nil, errors.Join(err, t.Shutdown())
	}
	return list, nil
}

// delegate is what memberlist calls. It is called with memberlist's lock held, so it calls nothing of memberlist.
type delegate struct{ m *Member }

func (d *delegate) NodeMeta(int) []byte             { return nil }
func (d *delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d *delegate) LocalState(bool) []byte          { return nil }
func (d *delegate) MergeRemoteState([]byte, bool)   {}

// NotifyMsg takes a message of ours in. What does not fit in the inbox is lost: repair brings it.
func (d *delegate) NotifyMsg(raw []byte) {
	msg, err := gossip.DecodeMessage(raw)
	if err != nil {
		d.m.log.Debug("gossip message dropped", "err", err)
		return
	}
	select {
	case d.m.inbox <- msg:
	default:
		d.m.log.Debug("gossip message dropped: too many wait", "from", msg.From)
	}
}

// NotifyAlive lets only those in whom the managers named, at the address that they named.
func (d *delegate) NotifyAlive(n *memberlist.Node) error {
	m := d.m
	id := swarmnet.NodeID(n.Name)
	if id == m.cfg.NodeID {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.peers[id]
	if !ok {
		return fmt.Errorf("%s is no node that the managers named", id)
	}
	if at := nodeAddr(n); p.GossipAddr.IsValid() && !p.GossipAddr.Addr().IsUnspecified() && at != p.GossipAddr {
		return fmt.Errorf("%s is not at %s but at %s, as the managers say", id, at, p.GossipAddr)
	}
	return nil
}

func nodeAddr(n *memberlist.Node) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(n.Addr)
	return netip.AddrPortFrom(ip.Unmap(), n.Port)
}

func (d *delegate) NotifyJoin(n *memberlist.Node)   { d.m.noteMember(n, true) }
func (d *delegate) NotifyUpdate(n *memberlist.Node) { d.m.noteMember(n, true) }
func (d *delegate) NotifyLeave(n *memberlist.Node)  { d.m.noteMember(n, false) }

func (m *Member) noteMember(n *memberlist.Node, alive bool) {
	id := swarmnet.NodeID(n.Name)
	if id == m.cfg.NodeID {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.seen[id]
	m.seen[id] = &node{alive: alive, addr: *n}
	if m.speaker == nil {
		return
	}
	m.reachable()
	switch {
	case alive && (was == nil || !was.alive):
		m.log.Info("gossip member joined", "node", id, "addr", nodeAddr(n))
		m.greet(id)
		poke(m.contact)
	case !alive && was != nil && was.alive:
		m.log.Info("gossip member lost", "node", id, "addr", nodeAddr(n))
		poke(m.contact)
	}
	m.touch()
}

// logWriter passes memberlist's log on. It reports every lost packet as an error, so all of it is detail here: joins and losses are
// logged by us.
type logWriter struct{ m *Member }

func (w logWriter) Write(p []byte) (int, error) {
	w.m.log.Debug(strings.TrimSpace(string(p)))
	return len(p), nil
}
