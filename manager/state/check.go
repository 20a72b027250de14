package state

import (
	"fmt"
	"net/netip"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ipam"
)

// Check builds everything that follows from the objects anew and compares it with what the State has. It returns the
// first difference: a bug. It takes time in the size of the State.
func (s *State) Check() error {
	want := [indexes]map[string]string{}
	for i := range want {
		want[i] = map[string]string{}
	}
	var clash error
	out := func(i int, k, v string) {
		if old, ok := want[i][k]; ok && old != v {
			clash = fmt.Errorf("index %d: %q stands for %q and for %q", i, k, old, v)
		}
		want[i][k] = v
	}
	for v := range s.Networks() {
		networkEntries(v, out)
	}
	for v := range s.Nodes() {
		s.nodeEntries(v, out)
	}
	for v := range s.Services() {
		serviceEntries(v, out)
	}
	for v := range s.Tasks() {
		taskEntries(v, out)
	}
	for v := range s.Endpoints() {
		endpointEntries(v, out)
	}
	if clash != nil {
		return clash
	}
	for i := range want {
		if err := sameTable(fmt.Sprintf("index %d", i), want[i], &s.index[i]); err != nil {
			return err
		}
	}
	if err := s.checkPools(); err != nil {
		return err
	}
	return s.checkObjects()
}

func sameTable(what string, want map[string]string, t *table[string]) error {
	if len(want) != t.len() {
		return fmt.Errorf("%s has %d entries, %d are wanted", what, t.len(), len(want))
	}
	for k, v := range want {
		if got, ok := t.get(k); !ok || got != v {
			return fmt.Errorf("%s has %q (%t) at %q, %q is wanted", what, got, ok, k, v)
		}
	}
	return nil
}

func (s *State) checkPools() error {
	pools, queued := 0, map[string]bool{}
	for n := range s.Networks() {
		for _, sub := range n.Subnets {
			pools++
			var want pool
			want.fresh = ipam.First(sub)
			for want.fresh.IsValid() && s.taken(join(n.ID, addrKey(want.fresh))) {
				want.fresh = ipam.Next(sub, want.fresh)
			}
			for k, f := range s.freed.prefix(string(n.ID) + sep) {
				_, addr := splitHolderKey(k)
				if ipam.InRange(sub, keyAddr(addr)) {
					want.freed++
					queued[queueKey(string(n.ID), addr, f.due)] = true
				}
			}
			got, _ := s.pools.get(poolKey(n.ID, sub.Prefix.Addr().Is6()))
			if got != want {
				return fmt.Errorf("pool %s has %v, %v is wanted", sub.Prefix, got, want)
			}
		}
	}
	if s.pools.len() != pools || s.queue.len() != len(queued) {
		return fmt.Errorf("%d pools and %d freed addresses in order, %d and %d are wanted", s.pools.len(), s.queue.len(), pools, len(queued))
	}
	for k := range s.queue.all() {
		if !queued[k] {
			return fmt.Errorf("%q is in the order of freed addresses", k)
		}
	}
	for k := range s.freed.all() {
		if s.index[byHolder].has(k) {
			return fmt.Errorf("address %s rests and is held", keyAddr(k[len(k)-16:]))
		}
	}
	if s.entries.len() != s.oldest.len() || s.entries.len() > window {
		return fmt.Errorf("%d entries, %d in order", s.entries.len(), s.oldest.len())
	}
	return nil
}

// checkObjects checks what must hold between objects.
func (s *State) checkObjects() error {
	for e := range s.Endpoints() {
		t, ok := s.Task(e.Task)
		switch {
		case !ok:
			return fmt.Errorf("%s is of no task", e)
		case t.Status.State.Terminal() && !t.Standalone():
			return fmt.Errorf("%s is of %s, which has ended", e, t)
		case t.Status.State >= swarmnet.TaskAssigned && e.Node != t.Node:
			return fmt.Errorf("%s is on node %s, its task on %s", e, e.Node, t.Node)
		case e.Service != "" && e.Service != t.In():
			return fmt.Errorf("%s is service %s's, its task %s is %q's", e, e.Service, t, t.In())
		}
		if err := s.checkHeld(e.Network, e.Addrs); err != nil {
			return fmt.Errorf("%s: %w", e, err)
		}
	}
	return nil
}

func (s *State) checkHeld(network swarmnet.NetworkID, addrs []netip.Prefix) error {
	for _, p := range addrs {
		sub, ok := s.subnet(string(network), p.Addr())
		if !ok || !ipam.Usable(sub, p.Addr()) {
			return fmt.Errorf("%s is no address of its network", p)
		}
	}
	return nil
}
