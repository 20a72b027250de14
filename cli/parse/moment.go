package parse

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// momentLayouts are what a moment may look like, beside a duration and a number; without a zone the caller's own counts.
var momentLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02Z07:00", "2006-01-02"}

// Moment reads --since and --until: a time as in 2006-01-02T15:04:05Z, seconds since 1970 with or without a fraction, or how long before
// now, as in 90s. Empty is the zero time.
func Moment(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range momentLayouts {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	if whole, fraction, _ := strings.Cut(s, "."); digits(whole) && len(whole) < 12 && (fraction == "" || digits(fraction) && len(fraction) < 10) {
		seconds, err := strconv.ParseInt(whole, 10, 64)
		nanos, err2 := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
		if err == nil && err2 == nil {
			return time.Unix(seconds, nanos), nil
		}
	}
	return time.Time{}, fmt.Errorf("--%s %q: a time like 2006-01-02T15:04:05Z, seconds since 1970, or a duration before now like 10m is wanted", flag, s)
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// User reads --user: NAME|UID[:GROUP|GID]. Whether there is such a user only the node knows.
func User(s string) (string, error) {
	name, group, hasGroup := strings.Cut(s, ":")
	if s != "" && (name == "" || hasGroup && group == "" || strings.ContainsAny(s, " \t\r\n,") || strings.Contains(group, ":")) {
		return "", fmt.Errorf("--user %q: NAME or UID is wanted, with :GROUP or :GID perhaps", s)
	}
	return s, nil
}
