package swarmnet

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// MaxReplicas bounds what one service may ask for.
const MaxReplicas = 100_000

// Validate checks everything that can be said of the spec alone. Networks must be ids already.
func (s ServiceSpec) Validate() error {
	if err := checkName("service", s.Name, 63, false); err != nil {
		return err
	}
	if err := checkLabels(s.Labels); err != nil {
		return err
	}
	switch {
	case s.Mode > External:
		return fmt.Errorf("service mode %s does not exist: replicated, global and external do", s.Mode)
	case s.Mode == Global && s.Replicas != 0:
		return errors.New("a global service runs one task on every node: it takes no number of replicas")
	case s.Replicas > MaxReplicas:
		return fmt.Errorf("%d replicas are too many: at most %d are possible", s.Replicas, MaxReplicas)
	case s.EndpointMode > EndpointDNSRR:
		return fmt.Errorf("endpoint mode %s does not exist: vip and dnsrr do", s.EndpointMode)
	}
	seen := map[NetworkID]bool{}
	for _, n := range s.Networks {
		if seen[n.Network] {
			return fmt.Errorf("network %s is named twice: a task has one endpoint on a network", ShortID(n.Network))
		}
		seen[n.Network] = true
		for _, a := range n.Aliases {
			if err := checkName("alias", a, 63, true); err != nil {
				return err
			}
		}
	}
	if err := s.validatePorts(); err != nil {
		return err
	}
	if s.Mode == External {
		return s.validateExternal()
	}
	if err := s.Update.validate(); err != nil {
		return err
	}
	if err := s.Rollback.validate(); err != nil {
		return err
	}
	return s.Task.Validate()
}

// validateExternal checks what is left of a service whose tasks are others' sandboxes.
func (s ServiceSpec) validateExternal() error {
	switch {
	case s.Replicas != 0:
		return errors.New("an external service has as many tasks as sandboxes have joined it: it takes no number of replicas")
	case len(s.Task.Command) > 0:
		return errors.New("an external service has no tasks of its own, so it takes no command: sandboxes join it, as in `swarmnet run --label swarmnet.service=NAME`")
	case len(s.Networks) == 0:
		return errors.New("an external service needs a network on which sandboxes join it: give --network with an attachable one")
	}
	for _, p := range s.Ports {
		if p.Mode == PublishHost {
			return fmt.Errorf("port %s asks for the host mode, and the nodes of an external service's sandboxes are not the managers' to choose: publish it with `swarmnet run --publish`", p)
		}
	}
	return nil
}

func (s ServiceSpec) validatePorts() error {
	for i, p := range s.Ports {
		switch {
		case p.Target == 0:
			return errors.New("a published port needs the port of the task: write it PUBLISHED:TARGET")
		case p.Protocol > SCTP:
			return fmt.Errorf("protocol %s does not exist: tcp, udp and sctp do", p.Protocol)
		case p.Mode > PublishHost:
			return fmt.Errorf("publish mode %s does not exist: ingress and host do", p.Mode)
		case p.Mode == PublishIngress && s.EndpointMode == EndpointDNSRR:
			return fmt.Errorf("port %s is published on the routing mesh, which endpoint mode dnsrr does not take part in: publish it with mode=host or choose vip", p)
		case p.PublishedTo != 0:
			return fmt.Errorf("port %s is to be one of several, which a sandbox can ask for and a service cannot: name one", p)
		case p.HostIP.IsValid() && p.Mode != PublishHost:
			return fmt.Errorf("port %s asks for the host address %s: that takes mode=host", p, p.HostIP)
		}
		for _, q := range s.Ports[:i] {
			if p.Published != 0 && p != q && p.Clashes(q) {
				return fmt.Errorf("port %d/%s is published twice, as %s and as %s: give one of them another port", p.Published, p.Protocol, q, p)
			}
		}
	}
	return nil
}

// Clashes reports whether two ports of one service cannot both be published: they have one number and protocol and are
// not bound to different addresses of the hosts.
func (p PortSpec) Clashes(q PortSpec) bool {
	bound := func(p PortSpec) bool { return p.Mode == PublishHost && p.HostIP.IsValid() && !p.HostIP.IsUnspecified() }
	apart := bound(p) && bound(q) && p.HostIP != q.HostIP
	some := p.PublishedTo != 0 || q.PublishedTo != 0 // what is chosen does not clash
	return p.Published == q.Published && p.Protocol == q.Protocol && !apart && !some
}

// UniquePorts returns the ports of the spec without those that say the same as one before.
func (s ServiceSpec) UniquePorts() []PortSpec {
	var out []PortSpec
	seen := map[PortSpec]bool{}
	for _, p := range s.Ports {
		// Two wishes for "any port" of one target are two ports, as in Docker.
		if p.Published != 0 && seen[p] {
			continue
		}
		seen[p] = true
		out = append(out, p)
	}
	return out
}

func (u UpdateConfig) validate() error {
	switch {
	case u.Delay < 0 || u.Monitor < 0:
		return errors.New("the times of an update cannot be negative")
	case !(u.MaxFailureRatio >= 0 && u.MaxFailureRatio <= 1):
		return fmt.Errorf("failure ratio %g is not possible: a number from 0 to 1 is wanted", u.MaxFailureRatio)
	case u.Order > StartFirst:
		return fmt.Errorf("update order %s does not exist: stop-first and start-first do", u.Order)
	case u.FailureAction > FailureRollback:
		return fmt.Errorf("failure action %s does not exist: pause, continue and rollback do", u.FailureAction)
	}
	return nil
}

// Validate checks everything that can be said of the spec alone.
func (t TaskSpec) Validate() error {
	if len(t.Command) == 0 || t.Command[0] == "" {
		return errors.New("a service needs a command: give it after --")
	}
	for _, e := range t.Env {
		if strings.IndexByte(e, '=') < 1 || strings.IndexByte(e, 0) >= 0 {
			return fmt.Errorf("environment %q is not possible: write it KEY=VALUE", e)
		}
	}
	if t.Hostname != "" {
		if err := checkName("host", t.Hostname, 63, true); err != nil {
			return err
		}
	}
	if err := checkLabels(t.Labels); err != nil {
		return err
	}
	for _, c := range t.Placement.Constraints {
		if _, err := ParseConstraint(c); err != nil {
			return err
		}
	}
	for _, h := range t.Hosts {
		if h.Name == "" {
			return errors.New("an extra host needs a name: write it NAME:ADDRESS")
		}
		if err := validAddrs("extra host "+h.Name, []netip.Addr{h.Addr}); err != nil {
			return err
		}
	}
	if err := validAddrs("a DNS server", t.DNS.Servers); err != nil {
		return err
	}
	switch {
	case t.Restart.Condition > RestartNone:
		return fmt.Errorf("restart condition %s does not exist: any, on-failure and none do", t.Restart.Condition)
	case t.Restart.Delay < 0 || t.Restart.Window < 0 || t.StopGracePeriod < 0:
		return errors.New("the times of a task cannot be negative")
	}
	if t.Health != nil {
		return t.Health.Validate()
	}
	return nil
}
