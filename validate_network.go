package swarmnet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// The options of networks that the overlay driver knows.
const (
	OptionVNI = "vni"
	OptionMTU = "mtu"
)

// Validate checks everything that can be said of the spec alone. Only the overlay driver is known to the managers.
func (s NetworkSpec) Validate() error {
	if err := checkName("network", s.Name, 63, true); err != nil {
		return err
	}
	switch s.Name {
	case DriverBridge, DriverHost, DriverNone:
		return fmt.Errorf("network name %q is predefined on every node: choose another", s.Name)
	}
	if s.Driver != DriverOverlay {
		return fmt.Errorf("networks of driver %q are not the cluster's to make: overlay is the driver that it knows", s.Driver)
	}
	if err := checkLabels(s.Labels); err != nil {
		return err
	}
	if s.Ingress && (s.Internal || s.Attachable) {
		return errors.New("an ingress network carries the routing mesh alone: it is neither internal nor attachable")
	}
	if err := s.validateOptions(); err != nil {
		return err
	}
	return s.validateIPAM()
}

func (s NetworkSpec) validateOptions() error {
	if _, err := s.WantedVNI(); err != nil {
		return err
	}
	if v, ok := s.Options[OptionMTU]; ok {
		// RFC 791 section 3.1 has every host take 576 octets, RFC 8200 section 5 every link 1280.
		least := 576
		if s.IPv6 {
			least = 1280
		}
		if n := s.WantedMTU(); n < least || n > 65535 {
			return fmt.Errorf("option mtu=%s is not possible: a number from %d to 65535 is wanted", v, least)
		}
	}
	return nil
}

// WantedMTU is what the mtu option asks for, in octets; 0 without it, or where it is no number.
func (s NetworkSpec) WantedMTU() int {
	n, _ := strconv.Atoi(s.Options[OptionMTU])
	return n
}

// WantedVNI is the VNI that the vni option asks for, 0 without it.
func (s NetworkSpec) WantedVNI() (VNI, error) {
	v, ok := s.Options[OptionVNI]
	if !ok {
		return 0, nil
	}
	vni, err := ParseVNI(v)
	if err != nil {
		return 0, fmt.Errorf("option vni: %w", err)
	}
	return vni, nil
}

func (s NetworkSpec) validateIPAM() error {
	var four, six int
	for _, c := range s.IPAM {
		if err := c.Validate(); err != nil {
			return err
		}
		if c.Subnet.IsValid() && c.Subnet.Addr().Is6() {
			six++
		} else {
			four++
		}
	}
	switch {
	case four > 1 || six > 1:
		return errors.New("a network has at most one subnet of each family: make a second network for the other")
	case six > 0 && !s.IPv6:
		return errors.New("an IPv6 subnet needs --ipv6 as well")
	}
	return nil
}

// Validate checks everything that can be said of the wish alone.
func (c IPAMConfig) Validate() error {
	if !c.Subnet.IsValid() {
		if c.Gateway.IsValid() || c.Range.IsValid() || len(c.Aux) > 0 {
			return errors.New("a gateway, a range or an auxiliary address needs its subnet named: give --subnet too")
		}
		return nil
	}
	if m := c.Subnet.Masked(); m != c.Subnet {
		return fmt.Errorf("subnet %s has host bits set: did you mean %s?", c.Subnet, m)
	}
	a := c.Subnet.Addr()
	if a.Is4In6() || a.IsMulticast() || a.IsLoopback() || a.IsUnspecified() || a.IsLinkLocalUnicast() {
		return fmt.Errorf("subnet %s is not of addresses for hosts: take one like %s", c.Subnet, exampleSubnet(a))
	}
	if most := a.BitLen() - 2; c.Subnet.Bits() > most {
		return fmt.Errorf("subnet %s is too small for a gateway and a host: /%d is the smallest", c.Subnet, most)
	}
	if c.Range.IsValid() {
		if m := c.Range.Masked(); m != c.Range {
			return fmt.Errorf("ip-range %s has host bits set: did you mean %s?", c.Range, m)
		}
		if !c.Subnet.Contains(c.Range.Addr()) || c.Range.Bits() < c.Subnet.Bits() {
			return fmt.Errorf("ip-range %s is outside the subnet %s", c.Range, c.Subnet)
		}
	}
	if c.Gateway.IsValid() {
		if err := c.inside("gateway", c.Gateway); err != nil {
			return err
		}
	}
	names := make([]string, 0, len(c.Aux))
	for name := range c.Aux {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := c.inside("auxiliary address "+name, c.Aux[name]); err != nil {
			return err
		}
		if c.Aux[name] == c.Gateway {
			return fmt.Errorf("auxiliary address %s and the gateway are both %s", name, c.Gateway)
		}
	}
	return nil
}

// exampleSubnet is one that could be taken, of the same family.
func exampleSubnet(like netip.Addr) string {
	if like.Is4() {
		return "10.1.0.0/24"
	}
	return "fd12:3456:789a::/64" // RFC 4193
}

func (c IPAMConfig) inside(what string, a netip.Addr) error {
	switch {
	case !c.Subnet.Contains(a):
		return fmt.Errorf("%s %s is outside the subnet %s", what, a, c.Subnet)
	case a == c.Subnet.Addr():
		return fmt.Errorf("%s %s is the address of the subnet %s itself", what, a, c.Subnet)
	case a.Is4() && !c.Subnet.Contains(a.Next()):
		return fmt.Errorf("%s %s is the broadcast address of the subnet %s", what, a, c.Subnet)
	}
	return nil
}
