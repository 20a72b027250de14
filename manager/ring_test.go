package manager

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// TestRing holds the ring against the whole list: a reader gets exactly what came after its revision, or is told that it
// cannot.
func TestRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 8).Draw(t, "size")
		start := rapid.Uint64Max(5).Draw(t, "start")
		r := newRing[uint64](size, start)
		type entry struct{ revision, value uint64 }
		var all []entry
		revision := start
		for range rapid.IntRange(0, 40).Draw(t, "appends") {
			revision += rapid.Uint64Range(1, 3).Draw(t, "step")
			var values []uint64
			for range rapid.IntRange(0, 3).Draw(t, "values") {
				values = append(values, uint64(len(all)))
				all = append(all, entry{revision, uint64(len(all))})
			}
			_, _, more, err := r.since(revision)
			if err != nil {
				t.Fatal(err)
			}
			r.append(revision, values...)
			select {
			case <-more:
			default:
				t.Fatal("a waiting reader was not woken")
			}
			from := rapid.Uint64Max(revision).Draw(t, "from")
			got, upTo, _, err := r.since(from)
			var want []uint64
			for _, e := range all {
				if e.revision > from {
					want = append(want, e.value)
				}
			}
			if errors.Is(err, errCompacted) {
				if len(want) <= size && from >= start {
					t.Fatalf("compacted, though only %d entries came since", len(want))
				}
				continue
			}
			if upTo != revision || len(got) != len(want) {
				t.Fatalf("since %d: got %v up to %d, want %v up to %d", from, got, upTo, want, revision)
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("since %d: got %v, want %v", from, got, want)
				}
			}
		}
	})
}

func TestRingReset(t *testing.T) {
	r := newRing[int](4, 0)
	r.append(1, 1)
	_, _, more, _ := r.since(1)
	r.reset(9)
	select {
	case <-more:
	default:
		t.Fatal("a waiting reader was not woken")
	}
	if _, _, _, err := r.since(1); !errors.Is(err, errCompacted) {
		t.Fatalf("got %v", err)
	}
}
