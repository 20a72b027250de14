package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// taskSource says whose tasks: a service's, a node's, or all.
type taskSource struct{ service, node string }

func (a *app) tasks(ctx context.Context, src taskSource) ([]swarmnet.Task, error) {
	control, err := a.control(ctx)
	if err != nil {
		return nil, err
	}
	r, err := control.ListTasks(ctx, &pb.ListTasksRequest{Service: src.service, Node: src.node})
	if err != nil {
		return nil, err
	}
	out := make([]swarmnet.Task, len(r.GetTasks()))
	for i, m := range r.GetTasks() {
		if out[i], err = wire.TaskFromProto(m); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (a *app) servicePsCmd() *cobra.Command {
	cmd := a.tasksCmd("ps SERVICE…", "List the tasks of services", func(_ context.Context, args []string) ([]taskSource, error) {
		if len(args) == 0 {
			return nil, usagef("`swarmnet service ps` needs SERVICE: `swarmnet service ls` lists them")
		}
		var out []taskSource
		for _, ref := range args {
			out = append(out, taskSource{service: ref})
		}
		return out, nil
	})
	cmd.ValidArgsFunction = a.complete(0, serviceNames)
	return cmd
}

// taskInfo is a task with the name of its node, and whether a later one of its slot exists.
type taskInfo struct {
	swarmnet.Task
	nodeName string
	old      bool
	lost     bool       // a sandbox that may run on, on a node that is down
	degraded []degraded // of all nodes, those of its ports
}

// degraded is a port that a node does not publish.
type degraded struct {
	swarmnet.DegradedPort
	node swarmnet.NodeID
	name string
}

func (d degraded) String() string { return d.Why + " on " + d.name }

// degradedOf are those of the nodes' troubles that are about a task's ports.
func degradedOf(t swarmnet.Task, nodes []nodeInfo) []degraded {
	var out []degraded
	if t.Desired >= swarmnet.DesireShutdown {
		return nil
	}
	for _, n := range nodes {
		for _, d := range n.Degraded {
			about := func(p swarmnet.PortSpec) bool {
				return p.Published == d.Published && p.Protocol == d.Protocol && (p.Mode == swarmnet.PublishIngress || t.Node == n.ID)
			}
			if slices.ContainsFunc(t.Ports, about) {
				out = append(out, degraded{d, n.ID, n.Name()})
			}
		}
	}
	return out
}

// portNotes says which ports of the tasks are not published where.
func portNotes(tasks []taskInfo) []string {
	var out []string
	for _, t := range tasks {
		for _, d := range t.degraded {
			if line := d.String(); !slices.Contains(out, line) {
				out = append(out, line)
			}
		}
	}
	return out
}

func (t taskInfo) shortName() string {
	if t.Standalone() {
		return t.Name()
	}
	name := t.ServiceName
	if t.Slot != 0 {
		return fmt.Sprintf("%s.%d", name, t.Slot)
	}
	return name + "." + swarmnet.ShortID(t.Node)
}

type taskRow struct{ ID, Name, Node, DesiredState, CurrentState, Error, Ports string }

// tasksCmd is the ps of services and of nodes.
func (a *app) tasksCmd(use, short string, sources func(ctx context.Context, args []string) ([]taskSource, error)) *cobra.Command {
	var args []string
	cmd := lsCmd(a, lister[taskInfo, taskRow]{
		use: use, short: short,
		columns: []column[taskRow]{{"ID", "ID"}, {"NAME", "Name"}, {"NODE", "Node"}, {"DESIRED STATE", "DesiredState"}, {"CURRENT STATE", "CurrentState"}, {"ERROR", "Error"}, {"PORTS", "Ports"}},
		quiet:   func(r taskRow) string { return r.ID },
		list: func(ctx context.Context, _ bool) ([]taskInfo, error) {
			src, err := sources(ctx, args)
			if err != nil {
				return nil, err
			}
			return a.taskInfos(ctx, src)
		},
		row: taskInfo.row, notes: portNotes,
		filters: map[string]filterFunc[taskInfo]{
			"id":            func(t taskInfo, v string) bool { return strings.HasPrefix(string(t.ID), v) },
			"name":          func(t taskInfo, v string) bool { return strings.HasPrefix(t.Name(), v) },
			"node":          func(t taskInfo, v string) bool { return t.nodeName == v || string(t.Node) == v },
			"desired-state": func(t taskInfo, v string) bool { return t.Desired.String() == v || v == "accepted" },
		},
	})
	inner := cmd.RunE
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, given []string) error {
		args = given
		return inner(cmd, nil)
	}
	return cmd
}

func (t taskInfo) row(noTrunc bool) taskRow {
	r := taskRow{ID: shortID(t.ID, noTrunc), Name: t.shortName(), Node: t.nodeName, DesiredState: title(t.Desired.String()),
		CurrentState: strings.TrimSpace(title(t.Status.State.String()) + " " + ago(t.Status.At, time.Now())), Error: truncate(t.Status.Err, 40, noTrunc)}
	if noTrunc {
		r.Name = t.Name()
	}
	if t.old {
		r.Name = ` \_ ` + r.Name
	}
	if t.lost {
		r.CurrentState, r.Error = "Unknown", "its node is down"
	}
	var ports []string
	for _, p := range t.Ports {
		if p.Mode == swarmnet.PublishHost {
			ports = append(ports, fmt.Sprintf("*:%d->%d/%s", p.Published, p.Target, p.Protocol))
		}
	}
	r.Ports = strings.Join(ports, ",")
	if r.Error == "" && t.Status.State != swarmnet.TaskRunning {
		r.Error = truncate(t.Status.Message, 40, noTrunc)
	}
	for _, d := range t.degraded {
		if r.Error == "" && d.node == t.Node {
			r.Error = truncate(d.Why, 40, noTrunc)
		}
	}
	return r
}

func (a *app) taskInfos(ctx context.Context, sources []taskSource) ([]taskInfo, error) {
	nodes, err := a.nodes(ctx)
	if err != nil {
		return nil, err
	}
	names, down := map[swarmnet.NodeID]string{}, map[swarmnet.NodeID]bool{}
	for _, n := range nodes {
		names[n.ID], down[n.ID] = n.Name(), n.Status.State == swarmnet.NodeDown
	}
	var out []taskInfo
	for _, src := range sources {
		tasks, err := a.tasks(ctx, src)
		if err != nil {
			return nil, err
		}
		var joined []swarmnet.PortSpec
		if src.service != "" && slices.ContainsFunc(tasks, swarmnet.Task.Standalone) { // of an external service, whose ports they serve
			s, _, err := a.service(ctx, src.service)
			if err != nil {
				return nil, err
			}
			joined = s.Ports
		}
		for _, t := range tasks {
			if t.Standalone() {
				t.Ports = joined
			}
			name := names[t.Node]
			if name == "" {
				name = swarmnet.ShortID(t.Node)
			}
			out = append(out, taskInfo{Task: t, nodeName: name, lost: t.Standalone() && down[t.Node], degraded: degradedOf(t, nodes)})
		}
	}
	// The newest of a slot first, those before it below it.
	slices.SortStableFunc(out, func(x, y taskInfo) int {
		if c := strings.Compare(naturalKey(x.shortName()), naturalKey(y.shortName())); c != 0 {
			return c
		}
		return int(int64(y.Meta.Created) - int64(x.Meta.Created))
	})
	for i := 1; i < len(out); i++ {
		out[i].old = !out[i].Standalone() && out[i].shortName() == out[i-1].shortName()
	}
	return out, nil
}
