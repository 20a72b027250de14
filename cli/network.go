package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/cli/parse"
	"github.com/swarmnet/swarmnet/driver"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

func (a *app) networkCmd() *cobra.Command {
	cmd := group(&cobra.Command{Use: "network", Short: "Manage networks, of this node and of the cluster"})
	cmd.AddCommand(a.networkCreateCmd(), a.networkLsCmd(), a.networkInspectCmd(), a.networkRmCmd(), a.networkPruneCmd(), a.networkConnectCmd(), a.networkDisconnectCmd())
	return cmd
}

func (a *app) networkCreateCmd() *cobra.Command {
	var (
		s                                            swarmnet.NetworkSpec
		ipv4                                         bool
		labels, opts, subnets, gateways, ranges, aux []string
	)
	cmd := &cobra.Command{Use: "create NETWORK", Short: "Create a network", Args: exactly("NETWORK"),
		Long: `Create a network. The driver decides what it is, and whether it is one of this node or of the whole cluster:

` + driverHelp() + `
Every network has IPv4, and with --ipv6 also IPv6: names, virtual addresses and published ports then have both families. For ports on the routing
mesh the ingress network must have IPv6, too, as the one has that a cluster begins with.

As docker network create; there is no --scope, --config-from and --config-only. --opt takes docker's names of options, too.`,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !ipv4 {
				return fmt.Errorf("a network without IPv4 is not made: leave out --ipv4=false; with --ipv6 it has both, and its members may use IPv6 alone")
			}
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
			if s.Ingress && s.Driver != swarmnet.DriverOverlay {
				return usagef("--ingress goes with -d overlay: the routing mesh is the cluster's")
			}
			id, err := a.createNetwork(cmd.Context(), s)
			if err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, id)
			return nil
		}}
	f := cmd.Flags()
	f.StringVarP(&s.Driver, "driver", "d", swarmnet.DriverBridge, strings.Join(driver.Makeable(), ", "))
	f.BoolVar(&s.Internal, "internal", false, "no way out of the network")
	f.BoolVar(&s.Attachable, "attachable", false, "overlay: sandboxes outside services may join")
	f.BoolVar(&s.Ingress, "ingress", false, "overlay: carries the routing mesh")
	f.BoolVar(&ipv4, "ipv4", true, "with an IPv4 subnet; =false is refused")
	f.BoolVar(&s.IPv6, "ipv6", false, "with an IPv6 subnet as well: --subnet's, or else one of unique local addresses")
	f.StringArrayVar(&subnets, "subnet", nil, "subnet, ADDRESS/LENGTH; repeatable, one of each family")
	f.StringArrayVar(&gateways, "gateway", nil, "gateway of the subnet that holds it")
	f.StringArrayVar(&ranges, "ip-range", nil, "part of the subnet to give addresses out from")
	f.StringArrayVar(&aux, "aux-address", nil, "NAME=ADDRESS that is never given out")
	f.StringArrayVarP(&opts, "opt", "o", nil, "KEY=VALUE for the driver")
	f.StringArrayVar(&labels, "label", nil, "KEY=VALUE")
	a.mustCompleteFlag(cmd, "driver", completeDrivers)
	a.mustCompleteFlag(cmd, "opt", func(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return completeOptions(s.Driver, prefix)
	})
	return cmd
}

// createNetwork asks the cluster for an overlay and the node for everything else. A name that the other of the two has is refused: it
// could not be told apart here.
func (a *app) createNetwork(ctx context.Context, s swarmnet.NetworkSpec) (id string, err error) {
	set, err := a.networkSet(ctx)
	if err != nil {
		return "", err
	}
	overlay := s.Driver == swarmnet.DriverOverlay
	for _, n := range set.all {
		if n.Spec.Name == s.Name && n.local == overlay {
			return "", fmt.Errorf("network %q exists already: %s %s, of %s: choose another name", s.Name, n.Spec.Driver, swarmnet.ShortID(n.ID), n.owner())
		}
	}
	req := &pb.CreateNetworkRequest{Spec: wire.NetworkSpecToProto(s)}
	if !overlay {
		local, err := a.node(ctx)
		if err != nil {
			return "", err
		}
		n, err := local.CreateNetwork(ctx, req)
		return n.GetId(), err
	}
	control, err := a.control(ctx)
	if err != nil {
		return "", err
	}
	n, err := control.CreateNetwork(ctx, req)
	if err != nil && a.inNoCluster(ctx, err) {
		return "", fmt.Errorf("an overlay network is a cluster's, and this node is in none: make one with `swarmnet cluster init`, or become a member with `swarmnet cluster join`")
	}
	return n.GetId(), err
}

func (a *app) networkLsCmd() *cobra.Command {
	type row struct {
		ID, Name, Driver, Scope, VNI, Subnets, IPv6, Internal, Labels, CreatedAt string
	}
	var (
		note  error
		users bool // who uses a network is asked for
	)
	cmd := lsCmd(a, lister[network, row]{
		short: "List the networks of this node and of its cluster",
		long: `List the networks of this node and of its cluster.

As docker network ls; SCOPE is node or cluster (docker's words local and swarm are understood by the filter). The filter dangling=true
finds what ` + "`prune`" + ` would remove.`,
		example: "  swarmnet network ls --filter driver=overlay\n  swarmnet network ls --format '{{.Name}} {{.Subnets}}'",
		columns: []column[row]{{"NETWORK ID", "ID"}, {"NAME", "Name"}, {"DRIVER", "Driver"}, {"SCOPE", "Scope"}},
		quiet:   func(r row) string { return r.ID },
		list: func(ctx context.Context, _ bool) ([]network, error) {
			set, err := a.networkSet(ctx)
			note = set.clusterErr
			if err == nil && users {
				err = a.markUsed(ctx, set)
			}
			return set.all, err
		},
		row: func(n network, noTrunc bool) row {
			var subnets []string
			for _, s := range n.Subnets {
				subnets = append(subnets, s.Prefix.String())
			}
			r := row{ID: shortID(n.ID, noTrunc), Name: n.Spec.Name, Driver: n.Spec.Driver, Scope: n.scope(), Subnets: strings.Join(subnets, ","),
				IPv6: fmt.Sprint(n.Spec.IPv6), Internal: fmt.Sprint(n.Spec.Internal), Labels: labelText(n.Spec.Labels), CreatedAt: n.Meta.CreatedAt.UTC().Format("2006-01-02 15:04:05 MST")}
			if !n.VNI.Local() && n.VNI != 0 {
				r.VNI = n.VNI.String()
			}
			return r
		},
		filters: map[string]filterFunc[network]{
			"id":     func(n network, v string) bool { return strings.HasPrefix(string(n.ID), v) },
			"name":   func(n network, v string) bool { return strings.Contains(n.Spec.Name, v) },
			"driver": func(n network, v string) bool { return n.Spec.Driver == v },
			"label":  func(n network, v string) bool { return hasLabel(n.Spec.Labels, v) },
			"scope": func(n network, v string) bool {
				return n.scope() == v || v == map[string]string{"node": "local", "cluster": "swarm"}[n.scope()]
			},
			"type":     func(n network, v string) bool { return (v == "builtin") == builtin(n) },
			"dangling": func(n network, v string) bool { return (v == "true") == (!builtin(n) && !n.Spec.Ingress && !n.used) },
		},
		values: map[string][]string{
			"type": {"builtin", "custom"}, "scope": {"node", "cluster", "local", "swarm"}, "dangling": {"true", "false"},
		},
		hints: map[string][]string{"driver": {swarmnet.DriverBridge, swarmnet.DriverHost, swarmnet.DriverMacvlan, swarmnet.DriverNone, swarmnet.DriverOverlay}},
	})
	inner := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		filters, err := cmd.Flags().GetStringArray("filter")
		if err != nil {
			return err
		}
		users = slices.ContainsFunc(filters, func(f string) bool { return strings.HasPrefix(f, "dangling=") })
		err = inner(cmd, args)
		switch {
		case err != nil || note == nil:
			return err
		case status.Code(note) == codes.FailedPrecondition: // a worker: it is no failure that managers know more
			fmt.Fprintf(a.stderr, "The cluster's networks are not listed: %s\n", explain(note))
			return nil
		}
		return fmt.Errorf("the cluster's networks are not listed: %s", explain(note))
	}
	return cmd
}

// builtin are the networks that nobody made.
func builtin(n network) bool {
	return n.predefined() || !n.local && n.Spec.Name == swarmnet.IngressNetworkName
}

func labelText(m map[string]string) string {
	var out []string
	for _, k := range sortedKeys(m) {
		out = append(out, k+"="+m[k])
	}
	return strings.Join(out, ",")
}

func (a *app) networkRmCmd() *cobra.Command {
	return &cobra.Command{Use: "rm NETWORK…", Aliases: []string{"remove"}, Short: "Remove networks", Args: atLeast("NETWORK"), ValidArgsFunction: a.completeNetworks(userMade),
		Long: `Remove networks that nothing uses.

As docker network rm: one that is used, or predefined, is refused. There is no --force.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.each(args, func(ref string) error {
				n, err := a.network(cmd.Context(), ref)
				if err != nil {
					return err
				}
				return a.removeNetwork(cmd.Context(), n)
			})
		}}
}

func (a *app) removeNetwork(ctx context.Context, n network) error {
	conn, err := a.dial(ctx)
	if err != nil {
		return err
	}
	ref := &pb.ObjectRef{Ref: string(n.ID)}
	if n.local {
		_, err = pb.NewLocalClient(conn).RemoveNetwork(ctx, ref)
	} else {
		_, err = pb.NewControlClient(conn).RemoveNetwork(ctx, ref)
	}
	return err
}

func (a *app) networkPruneCmd() *cobra.Command {
	var (
		force   bool
		filters []string
	)
	cmd := &cobra.Command{Use: "prune", Short: "Remove every network that nothing uses", Args: exactly(), ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Remove every network of this node and of its cluster that somebody made and nothing uses, and list them.

As docker network prune; without a terminal to ask on, --force must be said. Stopped sandboxes count as users.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			pass, err := parseFilters(filters, map[string]filterFunc[network]{
				"label":  func(n network, v string) bool { return hasLabel(n.Spec.Labels, v) },
				"label!": func(n network, v string) bool { return !hasLabel(n.Spec.Labels, v) },
			})
			if err != nil {
				return err
			}
			if !force {
				if err := a.confirm("this removes every network that nothing uses"); err != nil {
					return err
				}
			}
			return a.prune(cmd.Context(), pass)
		}}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "do not ask")
	cmd.Flags().StringArrayVar(&filters, "filter", nil, "only what matches label=KEY[=VALUE] or label!=KEY[=VALUE]")
	return cmd
}

// confirm asks a person; nobody there is a no.
func (a *app) confirm(what string) error {
	f, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return usagef("%s, and nobody is there to ask: say --force to do it", what)
	}
	fmt.Fprintf(a.stdout, "%s. Go on? [y/N] ", title(what))
	var answer string
	if _, err := fmt.Fscanln(f, &answer); err != nil && !errors.Is(err, io.EOF) {
		answer = "" // an empty line
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return errors.New("nothing was removed")
	}
	return nil
}

func (a *app) prune(ctx context.Context, pass func(network) bool) error {
	set, err := a.networkSet(ctx)
	if err != nil {
		return err
	}
	if err := a.markUsed(ctx, set); err != nil {
		return err
	}
	var errs []error
	if set.clusterErr != nil {
		errs = append(errs, fmt.Errorf("the cluster's networks are left alone: %s", explain(set.clusterErr)))
	}
	first := true
	for _, n := range set.all {
		if n.used || builtin(n) || n.Spec.Ingress || !pass(n) {
			continue
		}
		if err := a.removeNetwork(ctx, n); err != nil {
			errs = append(errs, errors.New(explain(err)))
			continue
		}
		if first {
			fmt.Fprintln(a.stdout, "Deleted Networks:")
		}
		first = false
		fmt.Fprintln(a.stdout, n.Spec.Name)
	}
	return errors.Join(errs...)
}
