package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/cli/parse"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

func (a *app) networkCmd() *cobra.Command {
	cmd := group(&cobra.Command{Use: "network", Short: "Manage networks"})
	cmd.AddCommand(a.networkCreateCmd(), a.networkLsCmd(), a.networkInspectCmd(), a.networkRmCmd(), a.networkPruneCmd())
	return cmd
}

func (a *app) networkCreateCmd() *cobra.Command {
	var (
		s                                            swarmnet.NetworkSpec
		labels, opts, subnets, gateways, ranges, aux []string
	)
	cmd := &cobra.Command{Use: "create NETWORK", Short: "Create a network", Args: exactly("NETWORK"), RunE: func(cmd *cobra.Command, args []string) error {
		var err error
		s.Name = args[0]
		if s.Labels, err = parse.Labels("label", labels); err == nil {
			if s.Options, err = parse.Labels("opt", opts); err == nil {
				s.IPAM, err = parse.IPAM(subnets, gateways, ranges, aux)
			}
		}
		if err != nil {
			return usageError{err}
		}
		control, err := a.control(cmd.Context())
		if err != nil {
			return err
		}
		n, err := control.CreateNetwork(cmd.Context(), &pb.CreateNetworkRequest{Spec: wire.NetworkSpecToProto(s)})
		if err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, n.GetId())
		return nil
	}}
	f := cmd.Flags()
	f.StringVarP(&s.Driver, "driver", "d", swarmnet.DriverOverlay, "driver; unlike docker's, the default is overlay")
	f.BoolVar(&s.Internal, "internal", false, "no way out of the network")
	f.BoolVar(&s.Attachable, "attachable", false, "sandboxes outside services may join")
	f.BoolVar(&s.Ingress, "ingress", false, "carries the routing mesh")
	f.BoolVar(&s.IPv6, "ipv6", false, "with an IPv6 subnet as well")
	f.StringArrayVar(&subnets, "subnet", nil, "subnet, ADDRESS/LENGTH; repeatable, one of each family")
	f.StringArrayVar(&gateways, "gateway", nil, "gateway of the subnet that holds it")
	f.StringArrayVar(&ranges, "ip-range", nil, "part of the subnet to give addresses out from")
	f.StringArrayVar(&aux, "aux-address", nil, "NAME=ADDRESS that is never given out")
	f.StringArrayVarP(&opts, "opt", "o", nil, "KEY=VALUE for the driver")
	f.StringArrayVar(&labels, "label", nil, "KEY=VALUE")
	return cmd
}

func (a *app) networks(ctx context.Context) ([]swarmnet.Network, error) {
	control, err := a.control(ctx)
	if err != nil {
		return nil, err
	}
	r, err := control.ListNetworks(ctx, &pb.ListNetworksRequest{})
	if err != nil {
		return nil, err
	}
	out := make([]swarmnet.Network, len(r.GetNetworks()))
	for i, m := range r.GetNetworks() {
		if out[i], err = wire.NetworkFromProto(m); err != nil {
			return nil, err
		}
	}
	sortBy(out, func(n swarmnet.Network) string { return naturalKey(n.Spec.Name) })
	return out, nil
}

func (a *app) networkLsCmd() *cobra.Command {
	type row struct {
		ID, Name, Driver, Scope, VNI, Subnets, IPv6, Internal, Labels, CreatedAt string
	}
	return lsCmd(a, lister[swarmnet.Network, row]{
		short:   "List networks",
		columns: []column[row]{{"NETWORK ID", "ID"}, {"NAME", "Name"}, {"DRIVER", "Driver"}, {"SCOPE", "Scope"}},
		quiet:   func(r row) string { return r.ID },
		list:    func(ctx context.Context, _ bool) ([]swarmnet.Network, error) { return a.networks(ctx) },
		row: func(n swarmnet.Network, noTrunc bool) row {
			var subnets []string
			for _, s := range n.Subnets {
				subnets = append(subnets, s.Prefix.String())
			}
			return row{ID: shortID(n.ID, noTrunc), Name: n.Spec.Name, Driver: n.Spec.Driver, Scope: "cluster", VNI: n.VNI.String(), Subnets: strings.Join(subnets, ","),
				IPv6: fmt.Sprint(n.Spec.IPv6), Internal: fmt.Sprint(n.Spec.Internal), Labels: labelText(n.Spec.Labels), CreatedAt: n.Meta.CreatedAt.UTC().Format("2006-01-02 15:04:05 MST")}
		},
		filters: map[string]filterFunc[swarmnet.Network]{
			"id":     func(n swarmnet.Network, v string) bool { return strings.HasPrefix(string(n.ID), v) },
			"name":   func(n swarmnet.Network, v string) bool { return strings.Contains(n.Spec.Name, v) },
			"driver": func(n swarmnet.Network, v string) bool { return n.Spec.Driver == v },
			"label":  func(n swarmnet.Network, v string) bool { return hasLabel(n.Spec.Labels, v) },
			"scope":  func(_ swarmnet.Network, v string) bool { return v == "cluster" },
		},
	})
}

func labelText(m map[string]string) string {
	var out []string
	for _, k := range sortedKeys(m) {
		out = append(out, k+"="+m[k])
	}
	return strings.Join(out, ",")
}

// networkInfo is a network with, for inspect -v, what is on it.
type networkInfo struct {
	swarmnet.Network
	Services  []networkService `json:",omitempty"`
	Endpoints []swarmnet.Endpoint
}

type networkService struct {
	ID   swarmnet.ServiceID
	Name string
	VIPs []string
}

func (a *app) networkInspectCmd() *cobra.Command {
	return inspectCmd(a, "NETWORK", "Show networks in full; -v with their services and every held address", a.complete(networkNames), func(ctx context.Context, ref string, verbose bool) (any, error) {
		control, err := a.control(ctx)
		if err != nil {
			return nil, err
		}
		m, err := control.GetNetwork(ctx, &pb.ObjectRef{Ref: ref})
		if err != nil {
			return nil, err
		}
		n, err := wire.NetworkFromProto(m)
		if err != nil || !verbose {
			return n, err
		}
		return a.networkInfo(ctx, control, n)
	})
}

func (a *app) networkInfo(ctx context.Context, control pb.ControlClient, n swarmnet.Network) (networkInfo, error) {
	info := networkInfo{Network: n}
	services, err := a.services(ctx)
	if err != nil {
		return info, err
	}
	for _, s := range services {
		vips := s.VIPOn(n.ID)
		if len(vips) == 0 {
			continue
		}
		e := networkService{ID: s.ID, Name: s.Spec.Name}
		for _, v := range vips {
			e.VIPs = append(e.VIPs, v.String())
		}
		info.Services = append(info.Services, e)
	}
	r, err := control.ListEndpoints(ctx, &pb.ListEndpointsRequest{Network: string(n.ID)})
	if err != nil {
		return info, err
	}
	for _, m := range r.GetEndpoints() {
		e, err := wire.EndpointFromProto(m)
		if err != nil {
			return info, err
		}
		info.Endpoints = append(info.Endpoints, e)
	}
	return info, nil
}

func (a *app) networkRmCmd() *cobra.Command {
	return &cobra.Command{Use: "rm NETWORK…", Aliases: []string{"remove"}, Short: "Remove networks", Args: atLeast("NETWORK"), ValidArgsFunction: a.complete(networkNames), RunE: func(cmd *cobra.Command, args []string) error {
		control, err := a.control(cmd.Context())
		if err != nil {
			return err
		}
		return a.each(args, func(ref string) error {
			_, err := control.RemoveNetwork(cmd.Context(), &pb.ObjectRef{Ref: ref})
			return err
		})
	}}
}

func (a *app) networkPruneCmd() *cobra.Command {
	var force bool
	cmd := &cobra.Command{Use: "prune --force", Short: "Remove every network that nothing uses", Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
		if !force {
			return usagef("this removes every network that nothing uses: say --force to do it")
		}
		ctx := cmd.Context()
		control, err := a.control(ctx)
		if err != nil {
			return err
		}
		nets, err := a.networks(ctx)
		if err != nil {
			return err
		}
		services, err := a.services(ctx)
		if err != nil {
			return err
		}
		used := map[swarmnet.NetworkID]bool{}
		for _, s := range services {
			for _, n := range s.Spec.Networks {
				used[n.Network] = true
			}
		}
		var errs []error
		for _, n := range nets {
			if n.Spec.Ingress || used[n.ID] || used[swarmnet.NetworkID(n.Spec.Name)] {
				continue
			}
			if _, err := control.RemoveNetwork(ctx, &pb.ObjectRef{Ref: string(n.ID)}); err != nil {
				errs = append(errs, errors.New(explain(err)))
				continue
			}
			fmt.Fprintln(a.stdout, n.Spec.Name)
		}
		return errors.Join(errs...)
	}}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "do it")
	return cmd
}
