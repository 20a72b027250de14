package labtest

import (
	"testing"
	"time"
)

// Only a whole number above 1 says that a machine is slow: nothing else lengthens a wait, and nothing shortens it.
func TestPatience(t *testing.T) {
	for slow, want := range map[string]time.Duration{"": 5, "1": 5, "0": 5, "-2": 5, "0.5": 5, "soon": 5, "3": 15} {
		t.Setenv(SlowEnv, slow)
		if got := Patience(5 * time.Second); got != want*time.Second {
			t.Errorf("%s=%q: %v, want %v s", SlowEnv, slow, got, int(want))
		}
	}
}

// Of a slow machine as much less is asked, and something still.
func TestLoad(t *testing.T) {
	for slow, want := range map[string]int{"": 100, "soon": 100, "3": 33, "1000": 1} {
		t.Setenv(SlowEnv, slow)
		if got := Load(100); got != want {
			t.Errorf("%s=%q: %d, want %d", SlowEnv, slow, got, want)
		}
	}
}
