package ordered

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// pair is ordered by its key.
type pair struct{ key, value int }

func byKey(a, b pair) int { return cmp.Compare(a.key, b.key) }

func draw(t *rapid.T, label string, from int) []pair {
	m := map[int]int{}
	for range rapid.IntRange(0, 8).Draw(t, label) {
		m[from+2*rapid.IntRange(0, 8).Draw(t, label+" key")] = rapid.IntRange(0, 2).Draw(t, label+" value")
	}
	return sorted(m)
}

func sorted(m map[int]int) (out []pair) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, pair{k, m[k]})
	}
	return out
}

func with(lists ...[]pair) []pair {
	m := map[int]int{}
	for _, l := range lists {
		for _, p := range l {
			m[p.key] = p.value
		}
	}
	return sorted(m)
}

func TestSpliceReplacesAPart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rest, was, is := draw(t, "rest", 0), draw(t, "was", 1), draw(t, "is", 1)
		got, ok := Splice(with(rest, was), was, is, byKey, Equal)
		if want := with(rest, is); !ok || !slices.Equal(got, want) {
			t.Fatalf("%v, %v instead of %v", got, ok, want)
		}
		if len(was) > 0 {
			if _, ok := Splice(rest, was, is, byKey, Equal); ok {
				t.Fatal("what is not there was taken out")
			}
		}
		if len(rest) > 0 {
			if _, ok := Splice(with(rest, was), was, with(is, rest[:1]), byKey, Equal); ok {
				t.Fatal("two have one place")
			}
		}
	})
}

func TestDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, "a", 0), draw(t, "b", 0)
		onlyA, onlyB := Differ(a, b, byKey)
		lacks := func(list []pair) func(pair) bool { return func(p pair) bool { return !slices.Contains(list, p) } }
		for _, c := range []struct{ got, of, other []pair }{{onlyA, a, b}, {onlyB, b, a}} {
			want := slices.DeleteFunc(slices.Clone(c.of), func(p pair) bool { return !lacks(c.other)(p) })
			if !slices.Equal(c.got, want) {
				t.Fatalf("%v instead of %v", c.got, want)
			}
		}
	})
}
