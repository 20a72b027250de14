package member

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/swarmnet/swarmnet"
)

const (
	contactsAtOnce = 3
	contactFirst   = 250 * time.Millisecond
	contactMost    = 2 * time.Second
)

// attempt is when a peer is to be contacted next.
type attempt struct {
	next  time.Time
	delay time.Duration
}

// rejoin contacts the peers that the managers name and that are no members, so that islands find each other: a few at a
// time, each at most every two seconds. memberlist itself forgets the dead after a while. While all are members it sleeps.
func (m *Member) rejoin(ctx context.Context, list *memberlist.Memberlist) error {
	attempts := map[swarmnet.NodeID]attempt{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.contact:
		case <-timer.C:
		}
		m.contactSome(ctx, list, attempts)
		if wait, some := m.untilContact(attempts, time.Now()); some {
			timer.Reset(wait + rand.N(contactFirst))
		} else {
			timer.Stop()
		}
	}
}

// untilContact is how long nobody need be contacted; some is false if nobody need be until contact is poked.
func (m *Member) untilContact(attempts map[swarmnet.NodeID]attempt, now time.Time) (wait time.Duration, some bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	wait = contactMost
	for id, p := range m.peers {
		if m.strange(id, p) {
			wait, some = min(wait, attempts[id].next.Sub(now)), true
		}
	}
	return max(wait, contactFirst), some
}

// strange reports whether a peer is no member although it could be. mu is held.
func (m *Member) strange(id swarmnet.NodeID, p PeerInfo) bool {
	return p.GossipAddr.IsValid() && !m.alive(id)
}

func (m *Member) contactSome(ctx context.Context, list *memberlist.Memberlist, attempts map[swarmnet.NodeID]attempt) {
	var wg sync.WaitGroup
	for _, p := range m.strangers(attempts, time.Now()) {
		wg.Go(func() {
			if ctx.Err() != nil {
				return
			}
			if _, err := list.Join([]string{string(p.NodeID) + "/" + p.GossipAddr.String()}); err != nil {
				m.log.Debug("gossip peer not reached", "node", p.NodeID, "addr", p.GossipAddr, "err", err)
			}
		})
	}
	wg.Wait()
}

// strangers chooses peers to contact, and notes it in attempts.
func (m *Member) strangers(attempts map[swarmnet.NodeID]attempt, now time.Time) []PeerInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range attempts {
		if _, ok := m.peers[id]; !ok || m.alive(id) {
			delete(attempts, id)
		}
	}
	var due []PeerInfo
	for id, p := range m.peers {
		if m.strange(id, p) && !attempts[id].next.After(now) {
			due = append(due, p)
		}
	}
	rand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	due = due[:min(len(due), contactsAtOnce)]
	for _, p := range due {
		d := min(max(2*attempts[p.NodeID].delay, contactFirst), contactMost)
		attempts[p.NodeID] = attempt{next: now.Add(d), delay: d}
	}
	return due
}

func (m *Member) alive(id swarmnet.NodeID) bool {
	n := m.seen[id]
	return n != nil && n.alive
}
