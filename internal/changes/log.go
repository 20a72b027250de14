package changes

import (
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

// Log compares each reading with the one before, once for all that is computed from it. It is used by one goroutine; what it is given must not be
// changed afterwards. The zero value is ready.
type Log struct {
	last *Step
	// byOwner and here are the endpoints of the last reading, by their owners and, of the node's own tasks, by task.
	byOwner map[Owner][]swarmnet.EndpointID
	here    map[swarmnet.TaskID][]swarmnet.EndpointID
}

// Step is one reading.
type Step struct {
	Set  swarmnet.AssignmentSet
	View gossip.View

	log    *Log
	number uint64
	change Change
	known  bool // change is how it differs from the step before
}

// Change is how one reading differs from another: what some services, and tasks of none, were and are.
type Change struct {
	Was, Is Part
}

// None reports whether there is nothing that differs.
func (c Change) None() bool { return c.Was.Set.Endpoints == nil } // a part has a map of its own

// Part is the part of a reading that some services have: they and their endpoints, and all of the node's own tasks.
type Part struct {
	Set  swarmnet.AssignmentSet
	View gossip.View
	// Own is Set with the endpoints of all of the node's own tasks.
	Own swarmnet.AssignmentSet
}

// Since is how the step differs from another. ok is false when it does by more than a few services, or it is not known: then all must be computed anew.
func (s *Step) Since(last *Step) (c Change, ok bool) {
	switch {
	case last == nil || last.log != s.log:
		return c, false
	case last == s:
		return c, true
	}
	return s.change, s.known && last.number+1 == s.number
}

// Next takes a reading in.
func (l *Log) Next(set swarmnet.AssignmentSet, view gossip.View) *Step {
	s := &Step{Set: set, View: view, log: l}
	last := l.last
	l.last = s
	if last == nil {
		l.index(set)
		return s
	}
	s.number = last.number + 1
	if !inServices(last.Set, set, last.View, view) {
		l.index(set)
		return s
	}
	d := differ(last.Set, set, last.View, view)
	if len(d.owners) > mostChanged {
		l.index(set)
		return s
	}
	s.known = true
	if len(d.owners) == 0 {
		return s
	}
	s.change.Was = l.part(last, d.owners)
	l.follow(last.Set, set, d)
	s.change.Is = l.part(s, d.owners)
	return s
}

// index reads all endpoints of a set.
func (l *Log) index(set swarmnet.AssignmentSet) {
	l.byOwner = map[Owner][]swarmnet.EndpointID{}
	for id, ep := range set.Endpoints {
		l.byOwner[ownerOf(ep)] = append(l.byOwner[ownerOf(ep)], id)
	}
	l.indexHere(set)
}

func (l *Log) indexHere(set swarmnet.AssignmentSet) {
	l.here = make(map[swarmnet.TaskID][]swarmnet.EndpointID, len(set.Tasks))
	for id, ep := range set.Endpoints {
		if _, here := set.Tasks[ep.Task]; here {
			l.here[ep.Task] = append(l.here[ep.Task], id)
		}
	}
}

// follow goes on from one set to the next.
func (l *Log) follow(was, is swarmnet.AssignmentSet, d difference) {
	for id := range d.endpoints {
		if ep, had := was.Endpoints[id]; had {
			remove(l.byOwner, ownerOf(ep), id)
			remove(l.here, ep.Task, id)
		}
		if ep, has := is.Endpoints[id]; has {
			l.byOwner[ownerOf(ep)] = append(l.byOwner[ownerOf(ep)], id)
			if _, here := is.Tasks[ep.Task]; here {
				l.here[ep.Task] = append(l.here[ep.Task], id)
			}
		}
	}
	if d.tasks {
		l.indexHere(is)
	}
}

func remove[K, V comparable](lists map[K][]V, k K, v V) {
	left := slices.DeleteFunc(lists[k], func(have V) bool { return have == v })
	if len(left) == 0 {
		delete(lists, k)
		return
	}
	lists[k] = left
}

// part is what owners have in a reading that the index is of.
func (l *Log) part(s *Step, owners map[Owner]bool) Part {
	p := Part{Set: s.Set, View: s.View, Own: s.Set}
	p.Set.Services, p.Set.Endpoints = map[swarmnet.ServiceID]swarmnet.Service{}, map[swarmnet.EndpointID]swarmnet.PeerEndpoint{}
	p.Own.Endpoints = map[swarmnet.EndpointID]swarmnet.PeerEndpoint{}
	for o := range owners {
		if v, ok := s.Set.Services[o.Service]; ok {
			p.Set.Services[o.Service] = v
		}
		for _, id := range l.byOwner[o] {
			p.Set.Endpoints[id], p.Own.Endpoints[id] = s.Set.Endpoints[id], s.Set.Endpoints[id]
		}
	}
	for _, ids := range l.here {
		for _, id := range ids {
			p.Own.Endpoints[id] = s.Set.Endpoints[id]
		}
	}
	p.Own.Services = p.Set.Services
	return p
}
