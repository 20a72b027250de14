package cli

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/cli/parse"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

func (a *app) nodeCmd() *cobra.Command {
	cmd := group(&cobra.Command{Use: "node", Short: "Manage the cluster's nodes"})
	cmd.AddCommand(a.nodeLsCmd(), a.nodeInspectCmd(), a.nodePsCmd(), a.nodeUpdateCmd(), a.nodeRoleCmd("promote", swarmnet.RoleManager),
		a.nodeRoleCmd("demote", swarmnet.RoleWorker), a.nodeRmCmd())
	return cmd
}

// nodeInfo is a node with its part in the managers' group.
type nodeInfo struct {
	swarmnet.Node
	ManagerStatus *managerStatus
	self          bool
}

type managerStatus struct {
	Leader, Reachable, Learner bool
	Addr                       string
}

func (m *managerStatus) String() string {
	switch {
	case m == nil:
		return ""
	case m.Leader:
		return "Leader"
	case m.Learner:
		return "Learner"
	case m.Reachable:
		return "Reachable"
	}
	return "Unreachable"
}

func (a *app) nodes(ctx context.Context) ([]nodeInfo, error) {
	control, err := a.control(ctx)
	if err != nil {
		return nil, err
	}
	r, err := control.ListNodes(ctx, &pb.ListNodesRequest{})
	if err != nil {
		return nil, err
	}
	managers := map[string]*managerStatus{}
	for _, m := range r.GetManagers() {
		managers[m.GetNode()] = &managerStatus{Leader: m.GetLeader(), Reachable: m.GetReachable(), Learner: m.GetLearner(), Addr: m.GetAddr()}
	}
	self := ""
	if strings.HasPrefix(a.host, "unix://") {
		if info, err := a.info(ctx); err == nil {
			self = info.GetNodeId()
		}
	}
	out := make([]nodeInfo, len(r.GetNodes()))
	for i, m := range r.GetNodes() {
		n, err := wire.NodeFromProto(m)
		if err != nil {
			return nil, err
		}
		out[i] = nodeInfo{Node: n, ManagerStatus: managers[m.GetId()], self: m.GetId() == self}
	}
	sortBy(out, func(n nodeInfo) string { return naturalKey(n.Name()) })
	return out, nil
}

type nodeRow struct {
	ID, Hostname, Status, Availability, ManagerStatus, Version string
	Self                                                       bool
}

func (a *app) nodeLsCmd() *cobra.Command {
	type row = nodeRow
	return lsCmd(a, lister[nodeInfo, row]{
		short:   "List the nodes",
		columns: []column[row]{{"ID", "ID"}, {"HOSTNAME", "Hostname"}, {"STATUS", "Status"}, {"AVAILABILITY", "Availability"}, {"MANAGER STATUS", "ManagerStatus"}, {"VERSION", "Version"}},
		quiet:   func(r row) string { return r.id() },
		list:    func(ctx context.Context, _ bool) ([]nodeInfo, error) { return a.nodes(ctx) },
		row: func(n nodeInfo, noTrunc bool) row {
			r := row{ID: shortID(n.ID, noTrunc), Hostname: n.Name(), Status: title(n.Status.State.String()), Availability: title(n.Spec.Availability.String()),
				ManagerStatus: n.ManagerStatus.String(), Version: n.Description.Version, Self: n.self}
			if n.self {
				r.ID += " *"
			}
			return r
		},
		filters: map[string]filterFunc[nodeInfo]{
			"id":           func(n nodeInfo, v string) bool { return strings.HasPrefix(string(n.ID), v) },
			"name":         func(n nodeInfo, v string) bool { return strings.HasPrefix(n.Name(), v) },
			"role":         func(n nodeInfo, v string) bool { return n.Spec.Role.String() == v },
			"membership":   func(_ nodeInfo, v string) bool { return v == "accepted" },
			"node.label":   func(n nodeInfo, v string) bool { return hasLabel(n.Spec.Labels, v) },
			"availability": func(n nodeInfo, v string) bool { return n.Spec.Availability.String() == v },
		},
	})
}

func (r nodeRow) id() string { return strings.TrimSuffix(r.ID, " *") }

func (a *app) nodeInspectCmd() *cobra.Command {
	return inspectCmd(a, "NODE", "Show nodes in full", a.complete(0, nodeNames), func(ctx context.Context, ref string) (any, error) {
		control, err := a.control(ctx)
		if err != nil {
			return nil, err
		}
		if ref, err = a.selfRef(ctx, ref); err != nil {
			return nil, err
		}
		m, err := control.GetNode(ctx, &pb.ObjectRef{Ref: ref})
		if err != nil {
			return nil, err
		}
		nodes, err := a.nodes(ctx)
		if err != nil {
			return nil, err
		}
		for _, n := range nodes {
			if string(n.ID) == m.GetId() {
				return n, nil
			}
		}
		return wire.NodeFromProto(m)
	})
}

// selfRef lets "self" name the node whose daemon is asked, as docker does.
func (a *app) selfRef(ctx context.Context, ref string) (string, error) {
	if ref != "self" {
		return ref, nil
	}
	info, err := a.info(ctx)
	if err != nil {
		return "", err
	}
	return info.GetNodeId(), nil
}

// changeNode reads a node's spec, changes it and writes it back on condition that nobody else did meanwhile.
func (a *app) changeNode(ctx context.Context, ref string, change func(*swarmnet.NodeSpec) error) error {
	control, err := a.control(ctx)
	if err != nil {
		return err
	}
	if ref, err = a.selfRef(ctx, ref); err != nil {
		return err
	}
	m, err := control.GetNode(ctx, &pb.ObjectRef{Ref: ref})
	if err != nil {
		return err
	}
	n, err := wire.NodeFromProto(m)
	if err != nil {
		return err
	}
	n.Spec.Labels = maps.Clone(n.Spec.Labels)
	if err := change(&n.Spec); err != nil {
		return err
	}
	_, err = control.UpdateNode(ctx, &pb.UpdateNodeRequest{Ref: m.GetId(), Spec: wire.NodeSpecToProto(n.Spec), Version: n.Meta.Updated})
	return err
}

func (a *app) nodeUpdateCmd() *cobra.Command {
	var (
		availability, role, name string
		add, rm                  []string
	)
	cmd := &cobra.Command{Use: "update NODE", Short: "Change a node's settings", Args: exactly("NODE"), ValidArgsFunction: a.complete(1, nodeNames), RunE: func(cmd *cobra.Command, args []string) error {
		labels, err := parse.Labels("label-add", add)
		if err != nil {
			return usageError{err}
		}
		err = a.changeNode(cmd.Context(), args[0], func(s *swarmnet.NodeSpec) error {
			var err error
			if availability != "" {
				if s.Availability, err = swarmnet.ParseAvailability(availability); err != nil {
					return usageError{err}
				}
			}
			if role != "" {
				if s.Role, err = swarmnet.ParseRole(role); err != nil {
					return usageError{err}
				}
			}
			if cmd.Flags().Changed("node-name") {
				s.Name = name
			}
			s.Labels = editLabels(s.Labels, labels, rm)
			return nil
		})
		if err == nil {
			fmt.Fprintln(a.stdout, args[0])
		}
		return err
	}}
	cmd.Flags().StringVar(&availability, "availability", "", "active, pause (takes no more tasks) or drain (gives its tasks up)")
	cmd.Flags().StringVar(&role, "role", "", "worker or manager")
	cmd.Flags().StringVar(&name, "node-name", "", "name to show instead of the hostname")
	cmd.Flags().StringArrayVar(&add, "label-add", nil, "KEY=VALUE to set")
	cmd.Flags().StringArrayVar(&rm, "label-rm", nil, "KEY to remove")
	return cmd
}

func editLabels(m, add map[string]string, rm []string) map[string]string {
	out := maps.Clone(m)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, add)
	for _, k := range rm {
		delete(out, k)
	}
	return out
}

func (a *app) nodeRoleCmd(verb string, role swarmnet.Role) *cobra.Command {
	return &cobra.Command{Use: verb + " NODE…", Short: fmt.Sprintf("Make nodes %ss", role), Args: atLeast("NODE"), ValidArgsFunction: a.complete(0, nodeNames), RunE: func(cmd *cobra.Command, args []string) error {
		return a.each(args, func(ref string) error {
			return a.changeNode(cmd.Context(), ref, func(s *swarmnet.NodeSpec) error {
				if s.Role == role {
					return fmt.Errorf("%s is a %s already", ref, role)
				}
				s.Role = role
				return nil
			})
		})
	}}
}

func (a *app) nodeRmCmd() *cobra.Command {
	var force bool
	cmd := &cobra.Command{Use: "rm NODE…", Aliases: []string{"remove"}, Short: "Remove nodes that are down", Args: atLeast("NODE"), ValidArgsFunction: a.complete(0, nodeNames), RunE: func(cmd *cobra.Command, args []string) error {
		control, err := a.control(cmd.Context())
		if err != nil {
			return err
		}
		return a.each(args, func(ref string) error {
			_, err := control.RemoveNode(cmd.Context(), &pb.RemoveNodeRequest{Ref: ref, Force: force})
			return err
		})
	}}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "although the node is not down")
	return cmd
}

func (a *app) nodePsCmd() *cobra.Command {
	cmd := a.tasksCmd("ps [NODE…]", "List the tasks of nodes (default: this one)", func(ctx context.Context, args []string) ([]taskSource, error) {
		if len(args) == 0 {
			args = []string{"self"}
		}
		var out []taskSource
		for _, ref := range args {
			ref, err := a.selfRef(ctx, ref)
			if err != nil {
				return nil, err
			}
			out = append(out, taskSource{node: ref})
		}
		return out, nil
	})
	cmd.ValidArgsFunction = a.complete(0, nodeNames)
	return cmd
}
