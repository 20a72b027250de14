// Package ordered compares and joins ordered lists in one walk: what a node desires is long, and changes little at a time.
package ordered

import "slices"

// Splice takes was out of an ordered list and puts is into it. ok is false when the list does not have all of was, or has something in the place of
// what is put into it.
func Splice[T any](whole, was, is []T, compare func(a, b T) int, equal func(a, b T) bool) (out []T, ok bool) {
	if len(was) == 0 && len(is) == 0 {
		return whole, true
	}
	out = make([]T, 0, max(0, len(whole)-len(was)+len(is)))
	for len(was) > 0 || len(is) > 0 {
		// What comes before the next of both lists stays, and is copied as a whole.
		next := is
		if len(is) == 0 || len(was) > 0 && compare(was[0], is[0]) <= 0 {
			next = was
		}
		at, found := slices.BinarySearchFunc(whole, next[0], compare)
		out, whole = append(out, whole[:at]...), whole[at:]
		if len(was) > 0 && compare(was[0], next[0]) == 0 {
			if !found || !equal(was[0], whole[0]) {
				return nil, false
			}
			was, whole = was[1:], whole[1:]
			continue
		}
		if found {
			return nil, false
		}
		out, is = append(out, is[0]), is[1:]
	}
	return append(out, whole...), true
}

// Differ returns what is in one of two ordered lists alone.
func Differ[T comparable](a, b []T, compare func(a, b T) int) (onlyA, onlyB []T) {
	if Same(a, b) {
		return nil, nil
	}
	for len(a) > 0 && len(b) > 0 {
		if a[0] == b[0] { // most are
			a, b = a[1:], b[1:]
			continue
		}
		switch c := compare(a[0], b[0]); {
		case c < 0:
			onlyA, a = append(onlyA, a[0]), a[1:]
		case c > 0:
			onlyB, b = append(onlyB, b[0]), b[1:]
		default:
			onlyA, onlyB, a, b = append(onlyA, a[0]), append(onlyB, b[0]), a[1:], b[1:]
		}
	}
	return append(onlyA, a...), append(onlyB, b...)
}

// Same reports whether two slices are one: as long, in the same place.
func Same[T any](a, b []T) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// EqualLists reports whether two slices hold the same; those that are one are not looked through.
func EqualLists[T comparable](a, b []T) bool { return Same(a, b) || slices.Equal(a, b) }

// Equal is == , as Splice wants it.
func Equal[T comparable](a, b T) bool { return a == b }
