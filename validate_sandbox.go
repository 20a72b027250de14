package swarmnet

import (
	"errors"
	"fmt"
	"net/netip"
)

// Validate checks everything that can be said of the spec alone. Networks must be ids already.
func (s SandboxSpec) Validate() error {
	if s.Name != "" {
		if err := checkName("sandbox", s.Name, 63, true); err != nil {
			return err
		}
	}
	if len(s.Task.Command) == 0 || s.Task.Command[0] == "" {
		return errors.New("a sandbox needs a command: give it last, as in `swarmnet run -- sleep 60`")
	}
	if err := s.validateMode(); err != nil {
		return err
	}
	seen := map[NetworkID]bool{}
	for _, n := range s.Networks {
		if seen[n.Network] {
			return fmt.Errorf("network %s is named twice: a sandbox has one endpoint on a network", ShortID(n.Network))
		}
		seen[n.Network] = true
		if err := n.Validate(); err != nil {
			return err
		}
	}
	for i, p := range s.Ports {
		switch {
		case p.Target == 0:
			return errors.New("a published port needs the port of the sandbox: write it PUBLISHED:TARGET")
		case p.Protocol != TCP && p.Protocol != UDP:
			return fmt.Errorf("port %s: a sandbox publishes tcp and udp alone", p)
		case p.PublishedTo != 0 && p.PublishedTo <= p.Published:
			return fmt.Errorf("the ports from %d to %d are none: the first must be the lower one", p.Published, p.PublishedTo)
		case p.Mode != PublishHost:
			return fmt.Errorf("port %s asks for the routing mesh, which is for services: a sandbox publishes on its own node", p)
		}
		for _, q := range s.Ports[:i] {
			if p.Published != 0 && p.Clashes(q) {
				return fmt.Errorf("port %d/%s is published twice, as %s and as %s: give one of them another port", p.Published, p.Protocol, q, p)
			}
		}
	}
	if s.AutoRemove && s.Task.Restart.Condition != RestartNone {
		return errors.New("a sandbox that is removed when its command ends cannot have a restart policy as well: choose one of them")
	}
	return s.Task.Validate()
}

// validateMode refuses what a sandbox cannot have that borrows its network stack.
func (s SandboxSpec) validateMode() error {
	what := ""
	switch {
	case len(s.Networks) > 0:
		what = "a network"
	case len(s.Ports) > 0:
		what = "a published port"
	case s.Mode == ModeShared && s.Task.Hostname != "":
		what = "a host name"
	case s.Mode == ModeShared && (len(s.Task.DNS.Servers) > 0 || len(s.Task.DNS.Search) > 0 || len(s.Task.DNS.Options) > 0):
		what = "a resolver"
	case s.Mode == ModeShared && len(s.Task.Hosts) > 0:
		what = "extra hosts"
	}
	switch {
	case s.Mode > ModeShared:
		return fmt.Errorf("network mode %s does not exist: networks, none, host and container do", s.Mode)
	case (s.SharedWith != "") != (s.Mode == ModeShared):
		return errors.New("a shared network stack needs the sandbox that has it named: write it container:NAME")
	case what == "":
		return nil
	case s.Mode == ModeHost:
		return fmt.Errorf("a sandbox on the host's network stack cannot have %s of its own: leave it out, or choose another network", what)
	case s.Mode == ModeShared:
		return fmt.Errorf("a sandbox that shares another's network stack cannot have %s of its own: leave it out, or give it to the other", what)
	}
	return nil
}

// Validate checks everything that can be said of the attachment alone.
func (a NetworkAttachment) Validate() error {
	for _, alias := range a.Aliases {
		if err := checkName("alias", alias, 63, true); err != nil {
			return err
		}
	}
	var four, six bool
	for _, addr := range a.Addrs {
		if err := validAddrs("the fixed address", []netip.Addr{addr}); err != nil {
			return err
		}
		if four && addr.Is4() || six && !addr.Is4() {
			return errors.New("an endpoint has at most one fixed address of each family")
		}
		four, six = four || addr.Is4(), six || !addr.Is4()
	}
	if !a.MAC.IsZero() && a.MAC[0]&1 != 0 {
		return fmt.Errorf("%s is a group's Ethernet address: that of one interface has an even first octet", a.MAC)
	}
	return nil
}
