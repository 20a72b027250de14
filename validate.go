package swarmnet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// checkName refuses names that could not be used as part of a domain name or a file name.
func checkName(what, s string, most int, dots bool) error {
	switch {
	case s == "":
		return fmt.Errorf("a %s needs a name", what)
	case len(s) > most:
		return fmt.Errorf("%s name %q has %d characters: at most %d are possible", what, s, len(s), most)
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		inner := c == '-' || c == '_' || c == '.' && dots
		if alnum || inner && i > 0 && i < len(s)-1 {
			continue
		}
		allowed := "letters, digits, '-' and '_'"
		if dots {
			allowed = "letters, digits, '-', '_' and '.'"
		}
		return fmt.Errorf("%s name %q is not possible: it is made of %s, a letter or digit first and last", what, s, allowed)
	}
	return nil
}

func checkLabels(m map[string]string) error {
	if _, ok := m[""]; ok {
		return errors.New("a label needs a name: write it NAME=VALUE")
	}
	return nil
}

// Validate checks everything that can be said of the spec alone.
func (s NodeSpec) Validate() error {
	if s.Name != "" {
		if err := checkName("node", s.Name, 63, true); err != nil {
			return err
		}
	}
	if s.Role > RoleManager {
		return fmt.Errorf("role %s does not exist: worker and manager do", s.Role)
	}
	if s.Availability > AvailabilityDrain {
		return fmt.Errorf("availability %s does not exist: active, pause and drain do", s.Availability)
	}
	return checkLabels(s.Labels)
}

// Validate checks everything that can be said of the spec alone.
func (s ClusterSpec) Validate() error {
	for i, p := range s.AddrPools {
		if err := p.Validate(); err != nil {
			return err
		}
		for _, q := range s.AddrPools[:i] {
			if p.Base.Overlaps(q.Base) {
				return fmt.Errorf("address pools %s and %s overlap: give each its own addresses", q.Base, p.Base)
			}
		}
	}
	if s.DataPathPort < 1024 {
		return fmt.Errorf("data path port %d is not possible: a port from 1024 to 65535 is wanted", s.DataPathPort)
	}
	for _, d := range []struct {
		what  string
		v     time.Duration
		least time.Duration
	}{
		{"certificate expiry", s.CertExpiry, time.Minute},
		{"heartbeat period", s.HeartbeatPeriod, 10 * time.Millisecond},
		{"time after which a node counts as down", s.DownAfter, 10 * time.Millisecond},
		{"rest of freed addresses", s.AddressRest, 0},
	} {
		if d.v < d.least {
			return fmt.Errorf("the %s is %s: at least %s is needed", d.what, d.v, d.least)
		}
	}
	return nil
}

// Validate checks that subnets can be cut from the pool.
func (p AddrPool) Validate() error {
	if !p.Base.IsValid() {
		return errors.New("an address pool needs a prefix like 10.0.0.0/8")
	}
	if m := p.Base.Masked(); m != p.Base {
		return fmt.Errorf("address pool %s has host bits set: did you mean %s?", p.Base, m)
	}
	if most := p.Base.Addr().BitLen() - 2; p.Size < p.Base.Bits() || p.Size > most {
		return fmt.Errorf("subnets of length /%d cannot be cut from address pool %s: a length from /%d to /%d is wanted", p.Size, p.Base, p.Base.Bits(), most)
	}
	return nil
}

// Validate checks everything that can be said of the probe alone.
func (h HealthCheck) Validate() error {
	if (len(h.Command) == 0) == (h.TCPPort == 0) {
		return errors.New("a health check is either a command or a TCP port: give one of them")
	}
	if h.Interval < 0 || h.Timeout < 0 || h.StartPeriod < 0 {
		return errors.New("the times of a health check cannot be negative")
	}
	return nil
}

func validAddrs(what string, addrs []netip.Addr) error {
	if slices.ContainsFunc(addrs, func(a netip.Addr) bool { return !a.IsValid() || a.IsUnspecified() }) {
		return fmt.Errorf("%s is not an address of a host", what)
	}
	return nil
}
