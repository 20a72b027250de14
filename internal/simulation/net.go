package simulation

import "time"

// Delays of the network, and of those who notice what becomes of it.
const (
	latency   = 30 * time.Millisecond // at most, one way
	retryMost = 400 * time.Millisecond
	// A dead connection is noticed by keep-alives and by silence.
	noticeFirst, noticeLast = 2500 * time.Millisecond, 5 * time.Second
)

func (w *World) link(a, b *node) link { return w.links[a.at][b.at] }

// reaches reports whether packets pass from one machine to the other.
func (w *World) reaches(a, b *node) bool { return a == b && a.on || w.link(a, b).up }

// talks reports whether two daemons can.
func (w *World) talks(a, b *node) bool {
	return a.daemon != nil && b.daemon != nil && w.reaches(a, b)
}

// reachesSince is since when they have without a break; it means something only while they do.
func (w *World) reachesSince(a, b *node) time.Duration {
	if a == b {
		return 0
	}
	return w.link(a, b).since
}

// relink is called after every change of who is where, and up.
func (w *World) relink() {
	for i, a := range w.nodes {
		for j, b := range w.nodes {
			up := i != j && a.on && b.on && a.side == b.side
			if l := &w.links[i][j]; l.up != up {
				*l = link{up, w.now}
			}
		}
	}
	w.memberships()
	w.group.reconsider()
	for _, s := range append([]*stream(nil), w.streams...) {
		s.relink()
	}
}

// stream is a connection of an agent to a manager: ordered, and nothing is lost as long as both ends have it open.
type stream struct {
	w                      *World
	agent, manager         *node
	agentEnd, managerEnd   *end
	toAgent, toManager     time.Duration // when the last message arrives
	heldAgent, heldManager []func()
	down                   time.Duration // since when packets do not pass; -1: they do
}

// end is one side of a stream.
type end struct {
	open   bool
	closed func() // is told when the other side or the network has ended it
}

func (w *World) newStream(agent, manager *node) *stream {
	s := &stream{w: w, agent: agent, manager: manager, agentEnd: &end{open: true}, managerEnd: &end{open: true}, down: -1}
	w.streams = append(w.streams, s)
	return s
}

// tell carries a message to the agent, ask one to the manager.
func (s *stream) tell(do func()) { s.carry(&s.toAgent, &s.heldAgent, s.agentEnd, do) }
func (s *stream) ask(do func())  { s.carry(&s.toManager, &s.heldManager, s.managerEnd, do) }

func (s *stream) carry(last *time.Duration, held *[]func(), to *end, do func()) {
	*last = max(*last, s.w.now+s.w.between(0, latency))
	s.w.after(*last-s.w.now, func() { s.arrive(held, to, do) })
}

func (s *stream) arrive(held *[]func(), to *end, do func()) {
	switch {
	case !to.open:
	case !s.w.reaches(s.agent, s.manager) || len(*held) > 0:
		*held = append(*held, do)
	default:
		do()
	}
}

// relink notices that packets pass no more, or again.
func (s *stream) relink() {
	up := s.w.reaches(s.agent, s.manager)
	switch {
	case !up && s.down < 0:
		s.down = s.w.now
		since := s.down
		for _, e := range []*end{s.agentEnd, s.managerEnd} {
			s.w.after(s.w.between(noticeFirst, noticeLast), func() {
				if s.down == since {
					s.close(e)
				}
			})
		}
	case up && s.down >= 0:
		s.down = -1
		s.w.after(s.w.between(0, retryMost), s.flush)
		if s.agentEnd.open != s.managerEnd.open {
			s.w.after(s.w.between(0, time.Second), func() { s.bothClosed() })
		}
	}
}

func (s *stream) flush() {
	if s.down >= 0 {
		return
	}
	a, m := s.heldAgent, s.heldManager
	s.heldAgent, s.heldManager = nil, nil
	for _, do := range a {
		s.tell(do)
	}
	for _, do := range m {
		s.ask(do)
	}
}

// bothClosed is when one end hears that the other has gone.
func (s *stream) bothClosed() {
	if s.w.reaches(s.agent, s.manager) && s.agentEnd.open != s.managerEnd.open {
		s.close(s.agentEnd)
		s.close(s.managerEnd)
	}
}

// close ends one side. The other hears of it if packets pass.
func (s *stream) close(e *end) {
	if !e.open {
		return
	}
	e.open = false
	if e.closed != nil {
		e.closed()
	}
	if s.agentEnd.open == s.managerEnd.open {
		for i, o := range s.w.streams {
			if o == s {
				s.w.streams = append(s.w.streams[:i:i], s.w.streams[i+1:]...)
				break
			}
		}
		return
	}
	s.w.after(s.w.between(0, latency), s.bothClosed)
}

// hangUp closes what a daemon that has ended had open.
func (w *World) hangUp(n *node) {
	for _, s := range append([]*stream(nil), w.streams...) {
		if s.agent == n {
			s.close(s.agentEnd)
		}
		if s.manager == n {
			s.close(s.managerEnd)
		}
	}
}
