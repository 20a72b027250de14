package session

import (
	"errors"
	"testing"
)

// Another manager may be behind the one that was lost: its set is passed over, until it has caught up.
func TestSessionNeverGoesBack(t *testing.T) {
	m := newManager(t)
	s := startSession(t, "", m.addr)
	tk := within(t, "a stream", m.streams)
	tk.welcome(t, 7)
	tk.complete(t, set(9, "a"))
	waitRevision(t, s, 9)
	tk.hang <- errors.New("it is lost")

	tk = within(t, "another stream", m.streams)
	tk.welcome(t, 7)
	tk.complete(t, set(8))
	tk.delta(t, set(3), set(4)) // a gap: what answers it comes after the old set was read
	if in := within(t, "a resync", tk.in); in.GetResync() == nil {
		t.Fatalf("got %v, want a resync", in)
	}
	if r := s.Read(); r.Set.Revision != 9 || len(r.Set.Tasks) != 1 {
		t.Fatalf("back at revision %d with %v", r.Set.Revision, r.Set.Tasks)
	}
	tk.complete(t, set(10, "b"))
	waitRevision(t, s, 10)
}
