package store

import (
	"time"

	"github.com/swarmnet/swarmnet/agent/local"
)

// Event is a local.Event with its moment and its number: they have no gaps, and begin at 1 with the daemon.
type Event struct {
	local.Event
	At     time.Time
	Number uint64
}

// remembered is how many events are kept at least.
const remembered = 1024

// history are the last events. The store's lock guards it.
type history struct {
	events []Event
	last   uint64
}

func (h *history) add(events []local.Event, at time.Time) {
	for _, e := range events {
		h.last++
		h.events = append(h.events, Event{e, at, h.last})
	}
	if len(h.events) > 2*remembered { // so that each is moved once on average
		h.events = append([]Event(nil), h.events[len(h.events)-remembered:]...)
	}
}

// Events returns those that are remembered of after that number, the number of the last one, and a channel that is closed at the next
// change.
func (s *Store) Events(after uint64) (events []Event, last uint64, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.history.events
	first := len(all)
	for first > 0 && all[first-1].Number > after {
		first--
	}
	return append([]Event(nil), all[first:]...), s.history.last, s.changed
}

// Tell adds what no step does.
func (s *Store) Tell(events ...local.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history.add(events, time.Now())
	close(s.changed)
	s.changed = make(chan struct{})
}

// LastEvent is the number of the last one.
func (s *Store) LastEvent() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.history.last
}
