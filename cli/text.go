package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/swarmnet/swarmnet"
)

func shortID[T ~string](id T, whole bool) string {
	if whole {
		return string(id)
	}
	return swarmnet.ShortID(id)
}

// title starts a word with a capital, as docker's tables do.
func title(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// cutKey is the value of a filter of one key.
func cutKey(filter, key string) (string, bool) { return strings.CutPrefix(filter, key+"=") }

func hasLabel(labels map[string]string, want string) bool {
	k, v, hasValue := strings.Cut(want, "=")
	got, ok := labels[k]
	return ok && (!hasValue || got == v)
}

func sortBy[T any](s []T, key func(T) string) {
	slices.SortStableFunc(s, func(a, b T) int { return strings.Compare(key(a), key(b)) })
}

// naturalKey sorts n2 before n10: numbers are padded.
func naturalKey(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		j := i
		for j < len(s) && unicode.IsDigit(rune(s[j])) {
			j++
		}
		if j > i {
			fmt.Fprintf(&b, "%020s", s[i:j])
			i = j
			continue
		}
		b.WriteByte(s[i])
		i++
	}
	return b.String()
}

// ago says how long something has been, as docker does.
func ago(at, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	d := now.Sub(at)
	switch s := int(d.Seconds()); {
	case s < 1:
		return "less than a second ago"
	case s < 60:
		return plural(s, "second")
	case s < 3600:
		return plural(s/60, "minute")
	case s < 48*3600:
		return plural(s/3600, "hour")
	default:
		return plural(s/(24*3600), "day")
	}
}

func plural(n int, unit string) string {
	if n == 1 {
		return "1 " + unit + " ago"
	}
	return fmt.Sprintf("%d %ss ago", n, unit)
}

func truncate(s string, n int, whole bool) string {
	if r := []rune(s); !whole && len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
