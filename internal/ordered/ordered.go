// Package ordered compares and joins ordered lists in one walk: what a node desires is long, and changes little at a time.
package ordered

// Splice takes was out of an ordered list and puts is into it. ok is false when the list does not have all of was, or has something in the place of
// what is put into it.
func Splice[T any](whole, was, is []T, compare func(a, b T) int, equal func(a, b T) bool) (out []T, ok bool) {
	if len(was) == 0 && len(is) == 0 {
		return whole, true
	}
	out = make([]T, 0, max(0, len(whole)-len(was)+len(is)))
	for _, v := range whole {
		if len(was) > 0 && compare(was[0], v) == 0 {
			if !equal(was[0], v) {
				return nil, false
			}
			was = was[1:]
			continue
		}
		for len(is) > 0 && compare(is[0], v) < 0 {
			out, is = append(out, is[0]), is[1:]
		}
		if len(is) > 0 && compare(is[0], v) == 0 {
			return nil, false
		}
		out = append(out, v)
	}
	return append(out, is...), len(was) == 0
}

// Differ returns what is in one of two ordered lists alone.
func Differ[T comparable](a, b []T, compare func(a, b T) int) (onlyA, onlyB []T) {
	if Same(a, b) {
		return nil, nil
	}
	for len(a) > 0 && len(b) > 0 {
		switch c := compare(a[0], b[0]); {
		case a[0] == b[0]:
			a, b = a[1:], b[1:]
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

// Equal is == , as Splice wants it.
func Equal[T comparable](a, b T) bool { return a == b }
