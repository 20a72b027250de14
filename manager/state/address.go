package state

import (
	"encoding/binary"
	"math"
	"net/netip"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ipam"
)

// The first octet of a holder.
const (
	holdEndpoint = "e"
	holdVIP      = "v"
	holdNode     = "n"
)

// maxFreed bounds how many freed addresses of a pool are remembered. The longest free are forgotten first, and are then
// given out as if they had never been held.
const maxFreed = 4096

// freed is an address that was held and is not any more.
type freed struct {
	due      int64 // Unix time in nanoseconds: not to be held again before
	revision uint64
}

// pool is what is left to give out of a subnet of a network.
type pool struct {
	// fresh is the lowest address to choose from that is neither held nor remembered as freed; zero: there is none.
	fresh netip.Addr
	freed int // how many are remembered
}

func poolKey(n swarmnet.NetworkID, is6 bool) string {
	if is6 {
		return join(n, "6")
	}
	return join(n, "4")
}

func queueKey(network, addr string, due int64) string {
	// Addresses of one family have one length, and 4 sorts before 6: the families keep apart.
	return poolKey(swarmnet.NetworkID(network), keyAddr(addr).Is6()) + sep + string(binary.BigEndian.AppendUint64(nil, uint64(due))) + addr
}

func splitHolderKey(k string) (network, addr string) { return k[:len(k)-17], k[len(k)-16:] }

func (s *State) subnet(network string, a netip.Addr) (swarmnet.Subnet, bool) {
	it, ok := s.networks.get(network)
	if !ok {
		return swarmnet.Subnet{}, false
	}
	for _, sub := range it.v.Subnets {
		if sub.Prefix.Contains(a) {
			return sub, true
		}
	}
	return swarmnet.Subnet{}, false
}

func (x *tx) openPools(n swarmnet.Network) {
	for _, sub := range n.Subnets {
		if k := poolKey(n.ID, sub.Prefix.Addr().Is6()); !x.s.pools.has(k) {
			x.s.pools.set(k, pool{fresh: ipam.First(sub)})
		}
	}
}

func (x *tx) closePools(n swarmnet.Network) {
	for _, is6 := range []bool{false, true} {
		x.s.pools.delete(poolKey(n.ID, is6))
	}
	var keys []string
	for k := range x.s.freed.prefix(string(n.ID) + sep) {
		keys = append(keys, k)
	}
	for _, k := range keys {
		x.forget(k)
	}
}

// hold takes an address out of what can be given out.
func (x *tx) hold(key string) {
	x.forget(key)
	network, addr := splitHolderKey(key)
	x.advance(network, keyAddr(addr))
}

// advance moves the fresh end of a pool on when a was it.
func (x *tx) advance(network string, a netip.Addr) {
	k := poolKey(swarmnet.NetworkID(network), a.Is6())
	p, ok := x.s.pools.get(k)
	if !ok || p.fresh != a {
		return
	}
	sub, ok := x.s.subnet(network, a)
	if !ok {
		return
	}
	for p.fresh.IsValid() && x.s.taken(join(network, addrKey(p.fresh))) {
		p.fresh = ipam.Next(sub, p.fresh)
	}
	x.s.pools.set(k, p)
}

func (s *State) taken(key string) bool { return s.index[byHolder].has(key) || s.freed.has(key) }

// release puts an address to rest.
func (x *tx) release(key string) {
	rest := x.s.cluster.v.Spec.AddressRest
	x.remember(key, freed{due: unixNano(x.m.At.Add(rest)), revision: x.s.revision})
}

func (x *tx) remember(key string, f freed) {
	network, addr := splitHolderKey(key)
	a := keyAddr(addr)
	sub, ok := x.s.subnet(network, a)
	k := poolKey(swarmnet.NetworkID(network), a.Is6())
	p, open := x.s.pools.get(k)
	if !ok || !open {
		return
	}
	x.s.freed.set(key, f)
	x.s.hash += digestFreed(key, f)
	if !ipam.InRange(sub, a) {
		return // it rests, but it is never chosen again
	}
	x.s.queue.set(queueKey(network, addr, f.due), struct{}{})
	p.freed++
	x.s.pools.set(k, p)
	x.advance(network, a)
	if p.freed <= maxFreed {
		return
	}
	for q := range x.s.queue.prefix(k + sep) {
		old := q[len(q)-16:]
		if int64(binary.BigEndian.Uint64([]byte(q[len(q)-24:]))) > unixNano(x.m.At) {
			return
		}
		x.forget(join(network, old))
		p, _ = x.s.pools.get(k)
		if b := keyAddr(old); !p.fresh.IsValid() || b.Less(p.fresh) {
			p.fresh = b
			x.s.pools.set(k, p)
		}
		return
	}
}

// forget takes an address out of those that are remembered as freed.
func (x *tx) forget(key string) {
	f, ok := x.s.freed.get(key)
	if !ok {
		return
	}
	x.s.freed.delete(key)
	x.s.hash -= digestFreed(key, f)
	network, addr := splitHolderKey(key)
	q := queueKey(network, addr, f.due)
	if _, queued := x.s.queue.get(q); !queued {
		return
	}
	x.s.queue.delete(q)
	k := poolKey(swarmnet.NetworkID(network), keyAddr(addr).Is6())
	if p, ok := x.s.pools.get(k); ok {
		p.freed--
		x.s.pools.set(k, p)
	}
}

func digestFreed(key string, f freed) uint64 {
	return digest("freed", key, be64(uint64(f.due)), be64(f.revision))
}

// FreeAddr returns the address of a family that a network should give out next: the lowest that was never held, else the
// one that was freed first, if it has rested. Otherwise it says when that will be; a zero time means never.
func (s *State) FreeAddr(network swarmnet.NetworkID, is6 bool, now time.Time) (addr netip.Addr, due time.Time) {
	k := poolKey(network, is6)
	p, ok := s.pools.get(k)
	if !ok {
		return netip.Addr{}, time.Time{}
	}
	if p.fresh.IsValid() {
		return p.fresh, time.Time{}
	}
	for q := range s.queue.prefix(k + sep) {
		at := time.Unix(0, int64(binary.BigEndian.Uint64([]byte(q[len(q)-24:])))).UTC()
		if at.After(now) {
			return netip.Addr{}, at
		}
		return keyAddr(q[len(q)-16:]), time.Time{}
	}
	return netip.Addr{}, time.Time{}
}

// checkAddr says why an address of a network cannot be given to holder.
func (x *tx) checkAddr(n swarmnet.Network, a netip.Addr, holder string) *Rejection {
	if r := x.checkUnheld(n, a, holder); r != nil {
		return r
	}
	if f, ok := x.s.freed.get(join(n.ID, addrKey(a))); ok && f.due > unixNano(x.m.At) {
		return reject(FailedPrecondition, "address %s of network %s rests until %s", a, n.Spec.Name, time.Unix(0, f.due).UTC().Format(time.RFC3339))
	}
	return nil
}

// checkUnheld says why an address of a network is not holder's to have, whether it rests or not.
func (x *tx) checkUnheld(n swarmnet.Network, a netip.Addr, holder string) *Rejection {
	sub, ok := x.s.subnet(string(n.ID), a)
	if !ok {
		return reject(InvalidArgument, "address %s is outside the subnets of network %s", a, n.Spec.Name)
	}
	if why := ipam.Reserved(sub, a); why != "" {
		return reject(FailedPrecondition, "address %s of network %s is kept as its %s address", a, n.Spec.Name, why)
	}
	key := join(n.ID, addrKey(a))
	if h, ok := x.s.index[byHolder].get(key); ok {
		if h == holder {
			return nil
		}
		return reject(FailedPrecondition, "address %s of network %s is held by %s", a, n.Spec.Name, x.s.holding(h))
	}
	return nil
}

// unixNano is t in nanoseconds since 1970, bounded to what an int64 holds.
func unixNano(t time.Time) int64 {
	switch {
	case t.Unix() < 0:
		return 0
	case t.Unix() >= math.MaxInt64/int64(time.Second):
		return math.MaxInt64
	}
	return t.UnixNano()
}
