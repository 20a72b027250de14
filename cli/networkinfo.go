package cli

import (
	"context"
	"net/netip"
	"slices"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/driver"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// networkInfo is a network with what is on it: the addresses that are held are shown for networks of this node, and with inspect -v
// for the cluster's, with the services.
type networkInfo struct {
	swarmnet.Network
	Scope     string
	Services  []networkService
	Endpoints []swarmnet.Endpoint
	Holders   []holder
}

// sparse is a networkInfo of which nobody asked what is on the network: null, not nothing.
type sparse struct {
	swarmnet.Network
	Scope                        string
	Services, Endpoints, Holders any
}

type networkService struct {
	ID   swarmnet.ServiceID
	Name string
	VIPs []string
}

// holder is who has an address of a network.
type holder struct {
	Address netip.Addr
	// Kind is gateway, auxiliary, service, task or sandbox.
	Kind, Name, ID string
	MAC            string
	Aliases        []string
	// Node and State are those of a task, or the state of a sandbox of this node; of another's only its node tells the state.
	Node, State string
}

func (a *app) networkInspectCmd() *cobra.Command {
	var verbose bool
	cmd := inspectCmd(a, "NETWORK", "Show networks in full; -v with their services and every held address", a.completeNetworks(nil), func(ctx context.Context, ref string) (any, error) {
		n, err := a.network(ctx, ref)
		if err != nil {
			return nil, err
		}
		return a.networkInfo(ctx, n, verbose)
	})
	cmd.Long = `Show networks of this node and of its cluster in full.

As docker network inspect, with fields of swarmnet's own; Holders, who has which address, stand where docker has Containers. For a
network of the cluster they, its services and endpoints are asked for with -v, and null without it.`
	addVerbose(cmd, &verbose)
	return cmd
}

func addVerbose(cmd *cobra.Command, verbose *bool) {
	cmd.Flags().BoolVarP(verbose, "verbose", "v", false, "networks of the cluster with their services, endpoints and every held address")
}

func (a *app) networkInfo(ctx context.Context, n network, verbose bool) (any, error) {
	info := networkInfo{Network: n.Network, Scope: n.scope()}
	if n.local {
		boxes, err := a.sandboxes(ctx)
		if err != nil {
			return info, err
		}
		info.hold(n)
		for _, s := range boxes {
			info.holdSandbox(s)
		}
		info.sort()
		return info, nil
	}
	if !verbose {
		return sparse{n.Network, n.scope(), nil, nil, nil}, nil
	}
	info.hold(n)
	if err := a.clusterHolders(ctx, &info); err != nil {
		return info, err
	}
	info.sort()
	return info, nil
}

func (i *networkInfo) hold(n network) {
	for _, s := range n.Subnets {
		if s.Gateway.IsValid() {
			i.Holders = append(i.Holders, holder{Address: s.Gateway, Kind: "gateway"})
		}
		for _, name := range sortedKeys(s.Aux) {
			i.Holders = append(i.Holders, holder{Address: s.Aux[name], Kind: "auxiliary", Name: name})
		}
	}
}

func (i *networkInfo) holdSandbox(s sandboxInfo) {
	for _, e := range s.Endpoints {
		if e.Network != i.ID {
			continue
		}
		i.holdEndpoint(e, holder{Kind: "sandbox", Name: s.Spec.Name, ID: string(s.ID), State: s.State.String()})
	}
}

func (i *networkInfo) holdEndpoint(e swarmnet.Endpoint, h holder) {
	h.MAC, h.Aliases = e.MAC.String(), e.Aliases
	for _, p := range e.Addrs {
		h.Address = p.Addr()
		i.Holders = append(i.Holders, h)
	}
}

func (i *networkInfo) sort() {
	slices.SortStableFunc(i.Holders, func(a, b holder) int { return a.Address.Compare(b.Address) })
}

func (a *app) clusterHolders(ctx context.Context, info *networkInfo) error {
	services, err := a.services(ctx)
	if err != nil {
		return err
	}
	for _, s := range services {
		vips := s.VIPOn(info.ID)
		if len(vips) == 0 {
			continue
		}
		e := networkService{ID: s.ID, Name: s.Spec.Name}
		for _, v := range vips {
			e.VIPs = append(e.VIPs, v.String())
			info.Holders = append(info.Holders, holder{Address: v, Kind: "service", Name: s.Spec.Name, ID: string(s.ID)})
		}
		info.Services = append(info.Services, e)
	}
	tasks, err := a.tasks(ctx, taskSource{})
	if err != nil {
		return err
	}
	byID := map[swarmnet.TaskID]swarmnet.Task{}
	for _, t := range tasks {
		byID[t.ID] = t
	}
	nodes, err := a.nodes(ctx)
	if err != nil {
		return err
	}
	names := map[swarmnet.NodeID]string{}
	for _, n := range nodes {
		names[n.ID] = n.Name()
	}
	ends, err := a.endpoints(ctx, string(info.ID))
	if err != nil {
		return err
	}
	for _, e := range ends {
		info.Endpoints = append(info.Endpoints, e)
		h := holder{Kind: "task", ID: string(e.Task), Node: names[e.Node]}
		switch t, ok := byID[e.Task]; {
		case ok && t.Standalone():
			h.Kind, h.Name = "sandbox", t.Name()
		case ok:
			h.Name, h.State = t.Name(), t.Status.State.String()
		}
		info.holdEndpoint(e, h)
	}
	return nil
}

// endpoints are those of one network of the cluster, or of all.
func (a *app) endpoints(ctx context.Context, network string) ([]swarmnet.Endpoint, error) {
	control, err := a.control(ctx)
	if err != nil {
		return nil, err
	}
	r, err := control.ListEndpoints(ctx, &pb.ListEndpointsRequest{Network: network})
	if err != nil {
		return nil, err
	}
	out := make([]swarmnet.Endpoint, len(r.GetEndpoints()))
	for i, m := range r.GetEndpoints() {
		if out[i], err = wire.EndpointFromProto(m); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// markUsed says of each network whether anything uses it.
func (a *app) markUsed(ctx context.Context, set networkSet) error {
	used, err := a.usedNetworks(ctx, set)
	for i, n := range set.all {
		set.all[i].used = used[n.ID] || used[swarmnet.NetworkID(n.Spec.Name)]
	}
	return err
}

// usedNetworks are those that a service, a task or a sandbox of this node is on or wants to be on, by id or by the name that a spec has.
func (a *app) usedNetworks(ctx context.Context, set networkSet) (map[swarmnet.NetworkID]bool, error) {
	used := map[swarmnet.NetworkID]bool{}
	if slices.ContainsFunc(set.all, func(n network) bool { return n.local }) {
		boxes, err := a.sandboxes(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range boxes {
			for _, n := range s.Spec.Networks {
				used[n.Network] = true
			}
			for _, e := range s.Endpoints {
				used[e.Network] = true
			}
		}
	}
	if !slices.ContainsFunc(set.all, func(n network) bool { return !n.local }) {
		return used, nil
	}
	services, err := a.services(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range services {
		for _, n := range s.Spec.Networks {
			used[n.Network] = true
		}
	}
	ends, err := a.endpoints(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, e := range ends {
		used[e.Network] = true
	}
	return used, nil
}

// connectable are the sandboxes that can be on networks.
func connectable(s sandboxInfo) bool {
	return s.Spec.Mode == swarmnet.ModeNetworks || s.Spec.Mode == swarmnet.ModeNone
}

func (a *app) completeConnect(network func(network) bool) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		switch len(args) {
		case 0:
			return a.networkRefs(nil, prefix, network), cobra.ShellCompDirectiveNoFileComp
		case 1:
			return a.sandboxNames(nil, prefix, connectable), cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// notStackless are the networks that can be connected to.
func notStackless(n network) bool {
	return !driver.Of(n.Network).Stack
}
