package parse

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Signal reads the name or number of a signal, SIGTERM, TERM and 15 alike, into its whole name. Empty stays empty.
func Signal(flag, s string) (string, error) {
	if s == "" {
		return "", nil
	}
	if n, err := number(s); err == nil && n < 65 {
		if name := unix.SignalName(unix.Signal(n)); name != "" {
			return name, nil
		}
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if unix.SignalNum(name) == 0 {
		return "", fmt.Errorf("--%s %q is not a signal: a name like SIGTERM or HUP, or a number, is wanted", flag, s)
	}
	return name, nil
}

// Tail reads --tail: a number of lines, or all, which is 0.
func Tail(s string) (uint32, error) {
	if s == "" || s == "all" {
		return 0, nil
	}
	n, err := number(s)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("--tail %q: a number of lines from 1, or all, is wanted", s)
	}
	return n, nil
}
