package trace

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// parseTarget reads NAME, ADDRESS, NAME:PORT, ADDRESS:PORT, [ADDRESS]:PORT or :PORT.
func parseTarget(s string) (host string, port uint16, err error) {
	if s == "" {
		return "", 0, errors.New("nowhere to go to: give a name, an address, or :PORT for a published port")
	}
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return strings.Trim(s, "[]"), 0, nil
	}
	if !strings.Contains(s, ":") {
		return strings.ToLower(strings.TrimSuffix(s, ".")), 0, nil
	}
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not a target: NAME, ADDRESS or nothing, then :PORT", s)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%q is not a port: a number from 1 to 65535 is wanted", text)
	}
	if host == "localhost" { // a port of the node
		host = ""
	}
	return strings.ToLower(strings.TrimSuffix(host, ".")), uint16(n), nil
}

// ParseTarget checks a target.
func ParseTarget(s string) error {
	_, _, err := parseTarget(s)
	return err
}
