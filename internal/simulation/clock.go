package simulation

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// clock is virtual time: a heap of what is to happen.
type clock struct {
	rnd    *rand.Rand
	now    time.Duration // since the beginning
	queue  events
	serial uint64
}

type event struct {
	at     time.Duration
	serial uint64
	do     func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].serial < e[j].serial
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1].do = nil
	*e = old[:len(old)-1]
	return last
}

// began is the time of day at the beginning.
var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (c *clock) time() time.Time { return began.Add(c.now) }

func (c *clock) after(d time.Duration, do func()) {
	c.serial++
	heap.Push(&c.queue, event{at: c.now + d, serial: c.serial, do: do})
}

// every repeats from a random moment of the first period on.
func (c *clock) every(d time.Duration, do func()) {
	var again func()
	again = func() { do(); c.after(d, again) }
	c.after(c.between(0, d), again)
}

// between is a random duration.
func (c *clock) between(from, to time.Duration) time.Duration {
	return from + time.Duration(c.rnd.Int64N(int64(max(1, to-from))))
}

// run lets time pass.
func (c *clock) run(d time.Duration) {
	end := c.now + d
	for len(c.queue) > 0 && c.queue[0].at <= end {
		e := heap.Pop(&c.queue).(event)
		c.now = e.at
		e.do()
	}
	c.now = end
}
