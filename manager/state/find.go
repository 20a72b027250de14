package state

import (
	"fmt"
	"iter"
	"strings"

	"github.com/swarmnet/swarmnet"
)

// References are looked for as a full id, then as an exact name, then as a prefix of an id that just one object has.

// FindNode returns the node that ref means.
func (s *State) FindNode(ref string) (swarmnet.Node, *Rejection) {
	return find(&s.nodes, "node", ref, s.NodesByName(ref), swarmnet.Node.Name)
}

// FindNetwork returns the network that ref means.
func (s *State) FindNetwork(ref string) (swarmnet.Network, *Rejection) {
	return find(&s.networks, "network", ref, maybe(s.NetworkByName(ref)), func(n swarmnet.Network) string { return n.Spec.Name })
}

// FindService returns the service that ref means.
func (s *State) FindService(ref string) (swarmnet.Service, *Rejection) {
	return find(&s.services, "service", ref, maybe(s.ServiceByName(ref)), func(v swarmnet.Service) string { return v.Spec.Name })
}

// FindTask returns the task that ref means; tasks are named SERVICE.SLOT.ID, and SERVICE.SLOT means the newest of a slot.
// Sandboxes outside services have a name of their own.
func (s *State) FindTask(ref string) (swarmnet.Task, *Rejection) {
	byName := func(yield func(swarmnet.Task) bool) {
		name, _, _ := strings.Cut(ref, ".")
		for t := range s.TasksBySlot("", 0) {
			if t.Name() == ref && !yield(t) {
				return
			}
		}
		v, ok := s.ServiceByName(name)
		if !ok {
			return
		}
		var found swarmnet.Task
		for t := range s.TasksByService(v.ID) {
			if t.Name() == ref || t.Slot != 0 && fmt.Sprintf("%s.%d", t.ServiceName, t.Slot) == ref {
				found, ok = t, true
			}
		}
		if found.ID != "" {
			yield(found)
		}
	}
	return find(&s.tasks, "task", ref, byName, swarmnet.Task.Name)
}

func maybe[T any](v T, ok bool) iter.Seq[T] {
	return func(yield func(T) bool) {
		if ok {
			yield(v)
		}
	}
}

func find[T any](t *table[*item[T]], what, ref string, byName iter.Seq[T], name func(T) string) (T, *Rejection) {
	var zero T
	if ref == "" {
		return zero, reject(InvalidArgument, "which %s? give its name or id", what)
	}
	if v, ok := value(t, ref); ok {
		return v, nil
	}
	var found []T
	for v := range byName {
		found = append(found, v)
	}
	how := "is the name"
	if len(found) == 0 {
		how = "is the beginning of the ids"
		for _, it := range t.prefix(ref) {
			found = append(found, it.v)
		}
	}
	switch len(found) {
	case 0:
		return zero, reject(NotFound, "%s %s does not exist", what, ref)
	case 1:
		return found[0], nil
	}
	const shown = 5
	var names []string
	for i, v := range found {
		if i == shown {
			names = append(names, fmt.Sprintf("and %d more", len(found)-shown))
			break
		}
		_, id, _ := describe(v)
		names = append(names, fmt.Sprintf("%s (%s)", swarmnet.ShortID(id), name(v)))
	}
	return zero, reject(InvalidArgument, "%s %s of several %ss: %s: give more of the id", ref, how, what, strings.Join(names, ", "))
}
