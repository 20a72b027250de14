package pulse

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestIn(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct{ age, d, want time.Duration }{
		{0, 500 * ms, 500 * ms},
		{1 * ms, 500 * ms, 499 * ms},
		{499 * ms, 500 * ms, 1 * ms},
		{1500 * ms, 2 * time.Second, 2 * time.Second},
		{1700 * ms, 2 * time.Second, 1800 * ms},
		{1700 * ms, 200 * ms, 200 * ms}, // none within: it is later
		{1700 * ms, 400 * ms, 300 * ms},
		{1700 * ms, 0, 0},
		{1700 * ms, -3 * ms, -3 * ms},            // overdue
		{-1700 * ms, 2 * time.Second, 1700 * ms}, // a test's clock may be elsewhere
	} {
		if got := in(c.age, c.d); got != c.want {
			t.Errorf("%v old, due in %v: waits %v, want %v", c.age, c.d, got, c.want)
		}
	}
}

// Never later than asked for, less than a period sooner, and on a moment if there is one.
func TestInStaysNear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		age := time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "age"))
		d := time.Duration(rapid.Int64Range(1, 1e11).Draw(t, "d"))
		got := in(age, d)
		if got <= 0 || got > d || got <= d-Period {
			t.Fatalf("%v old, due in %v: waits %v", age, d, got)
		}
		if at := age + got; at%Period != 0 && age/Period != (age+d)/Period && got != d {
			t.Fatalf("%v old, due in %v: waits %v, which is on no moment", age, d, got)
		}
	})
}

// A late process does not drift.
func TestInKeepsItsRate(t *testing.T) {
	now := 123 * time.Millisecond
	now += in(now, time.Second)
	first := now
	for range 100 {
		now += 7 * time.Millisecond // how late the timer fires
		now += in(now, time.Second)
	}
	if want := first + 100*time.Second; now != want {
		t.Errorf("after 100 rounds it is %v, want %v", now, want)
	}
}
