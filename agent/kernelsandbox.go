package agent

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"syscall"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor"
	"github.com/swarmnet/swarmnet/agent/sandbox"
	"github.com/swarmnet/swarmnet/driver"
	"github.com/swarmnet/swarmnet/driver/cni"
)

// kernelSandboxes are those of agent/sandbox, with the interfaces in them that CNI plugins make.
type kernelSandboxes struct {
	*sandbox.Sandboxes
	cni *cni.Driver
	log *slog.Logger
}

func (s kernelSandboxes) Ensure(ctx context.Context, d desired.Sandbox) (map[swarmnet.NetworkID]driver.Given, error) {
	spec := sandbox.Spec{Name: d.Name}
	for _, i := range d.Interfaces {
		spec.Interfaces = append(spec.Interfaces, sandbox.Interface{
			Name: i.Name, MAC: i.MAC, Addrs: i.Addrs, MTU: i.MTU, VNI: i.VNI, Via: i.Via, DefaultVia: i.DefaultVia,
			Isolated: i.Isolated, Macvlan: sandbox.Macvlan{Parent: i.Parent, Mode: i.Mode}, Foreign: i.Wish != nil,
		})
	}
	// What must go goes first: an interface that is wanted may have its name.
	err := s.cni.Keep(ctx, d.Name, func(ifname string, w driver.Wish) bool {
		return slices.ContainsFunc(d.Interfaces, func(i desired.Interface) bool {
			return i.Name == ifname && i.Wish != nil && i.Wish.Network == w.Network
		})
	})
	if err != nil {
		return nil, err
	}
	if err := s.Sandboxes.Ensure(ctx, spec); err != nil {
		return nil, err
	}
	given, again := map[swarmnet.NetworkID]driver.Given{}, false
	for _, i := range d.Interfaces {
		if i.Wish == nil {
			continue
		}
		g, made, err := s.cni.Attach(ctx, d.Name, i.Name, s.Path(d.Name), *i.Wish)
		if err != nil {
			return given, err
		}
		given[i.Wish.Network], again = g, again || made
	}
	if again { // the default routes, which plugins may have changed
		err = s.Sandboxes.Ensure(ctx, spec)
	}
	return given, err
}

// Delete leaves to Prune what plugins do not take away now: a sandbox does not stay for their sake.
func (s kernelSandboxes) Delete(ctx context.Context, name string) error {
	if err := s.cni.Detach(ctx, name); err != nil {
		s.log.Warn("CNI plugins cannot take a sandbox off their network, trying again", "sandbox", swarmnet.ShortID(name), "err", err)
	}
	return s.Sandboxes.Delete(ctx, name)
}

// PruneAttachments has plugins take away what they made for sandboxes that are not kept.
func (s kernelSandboxes) PruneAttachments(ctx context.Context, keep func(name string) bool) {
	names, err := s.cni.Sandboxes()
	if err != nil {
		s.log.Warn("the attachments of CNI plugins cannot be listed", "err", err)
	}
	for _, name := range names {
		if keep(name) || ctx.Err() != nil {
			continue
		}
		if err := s.cni.Detach(ctx, name); err != nil {
			s.log.Warn("CNI plugins cannot take a sandbox off their network, trying again", "sandbox", swarmnet.ShortID(name), "err", err)
		}
	}
}

// Restore implements sandboxes.
func (s kernelSandboxes) Restore(ctx context.Context, name string, sockets *executor.Sockets) error {
	sock, ok := sockets.UDP.(syscall.Conn)
	if !ok {
		return fmt.Errorf("sandbox %s: its resolver has no socket", name)
	}
	return s.Sandboxes.Restore(ctx, name, sock)
}

func (s kernelSandboxes) Resolver(name string) (*executor.Sockets, error) {
	udp, tcp, err := sandbox.ListenDNS(s.Path(name))
	if err != nil {
		return nil, err
	}
	return &executor.Sockets{UDP: udp, TCP: tcp}, nil
}
