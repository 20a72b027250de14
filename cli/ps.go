package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet"
)

// listed is a sandbox in its list: what it shares and what its networks are called is found in what stands beside it.
type listed struct {
	sandboxInfo
	networks []string
	trouble  string
}

type psRow struct {
	ID, Names, Command, CreatedAt, RunningFor, Status, State, Ports, Networks, Labels, Service string
}

func (a *app) psCmd() *cobra.Command {
	var all, latest bool
	var last int
	cmd := lsCmd(a, lister[listed, psRow]{
		use: "ps", short: "List the sandboxes of this node, tasks of services too",
		long: `List the sandboxes of this node.

As docker ps, with these differences: there is no image; NETWORKS shows where a sandbox is connected; the tasks of services are listed
too, by the labels swarmnet.service=NAME and swarmnet.task=ID (` + "`swarmnet ps -q --filter label=swarmnet.service=web`" + `); the name
filter takes a part of a name and no regular expression; there is no --size.`,
		example: "  swarmnet ps -a --filter status=exited\n  swarmnet ps --filter network=mynet --format '{{.Names}}: {{.Ports}}'",
		columns: []column[psRow]{{"SANDBOX ID", "ID"}, {"COMMAND", "Command"}, {"CREATED", "RunningFor"}, {"STATUS", "Status"}, {"PORTS", "Ports"}, {"NETWORKS", "Networks"}, {"NAMES", "Names"}},
		quiet:   func(r psRow) string { return r.ID },
		list: func(ctx context.Context, _ bool) ([]listed, error) {
			out, err := a.listed(ctx)
			switch {
			case err != nil:
				return nil, err
			case latest:
				last = 1
			case !all && last == 0:
				out = slices.DeleteFunc(out, func(l listed) bool { return notRunning(l.sandboxInfo) })
			}
			if last > 0 && len(out) > last {
				out = out[:last]
			}
			return out, nil
		},
		row: func(l listed, noTrunc bool) psRow { return l.row(a.now(), noTrunc) },
		filters: map[string]filterFunc[listed]{
			"id":      func(l listed, v string) bool { return strings.HasPrefix(string(l.ID), v) },
			"name":    func(l listed, v string) bool { return strings.Contains(l.Spec.Name, v) },
			"label":   func(l listed, v string) bool { return hasLabel(l.Spec.Task.Labels, v) },
			"status":  func(l listed, v string) bool { return l.State.String() == v },
			"network": listed.onNetwork,
			"publish": func(l listed, v string) bool { return l.publishes(v) },
			"exited": func(l listed, v string) bool {
				return l.State == swarmnet.SandboxExited && strconv.Itoa(l.Status.ExitCode) == v
			},
		},
		values: map[string][]string{"status": states()},
	})
	cmd.Flags().BoolVarP(&all, "all", "a", false, "those that do not run, too")
	cmd.Flags().BoolVarP(&latest, "latest", "l", false, "the newest alone, whether it runs or not")
	cmd.Flags().IntVarP(&last, "last", "n", 0, "the newest so many, whether they run or not")
	a.noCompletion(cmd, "last")
	inner := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		filters, err := cmd.Flags().GetStringArray("filter")
		if err != nil {
			return err
		}
		if last < 0 {
			return usagef("--last %d: a number from 1 is wanted", last)
		}
		for _, f := range filters {
			if strings.HasPrefix(f, "status=") || strings.HasPrefix(f, "exited=") {
				all = true // who asks for a state means it, as in docker
			}
			if v, ok := cutKey(f, "exited"); ok {
				if _, err := strconv.ParseUint(v, 10, 8); err != nil {
					return usagef("--filter %q: an exit status from 0 to 255 is wanted", f)
				}
			}
		}
		return inner(cmd, args)
	}
	return cmd
}

// states are the words for what became of a sandbox.
func states() (names []string) {
	for st := swarmnet.SandboxCreated; st <= swarmnet.SandboxExited; st++ {
		names = append(names, st.String())
	}
	return names
}

// listed reads the sandboxes and what of them must be looked up elsewhere: names of networks, owners of shared stacks.
func (a *app) listed(ctx context.Context) ([]listed, error) {
	boxes, err := a.sandboxes(ctx)
	if err != nil {
		return nil, err
	}
	names := map[swarmnet.NetworkID]string{}
	if set, err := a.networkSet(ctx); err == nil { // else networks are shown by their ids
		for _, n := range set.all {
			names[n.ID] = n.Spec.Name
		}
	}
	byID := map[swarmnet.TaskID]sandboxInfo{}
	for _, s := range boxes {
		byID[s.ID] = s
	}
	out := make([]listed, len(boxes))
	for i, s := range boxes {
		out[i] = listed{sandboxInfo: s, networks: networksOf(s, names, byID), trouble: troubleOf(s, byID)}
	}
	return out, nil
}

func networksOf(s sandboxInfo, names map[swarmnet.NetworkID]string, byID map[swarmnet.TaskID]sandboxInfo) []string {
	if s.Spec.Mode == swarmnet.ModeShared {
		owner := swarmnet.ShortID(s.Spec.SharedWith)
		if o, ok := byID[s.Spec.SharedWith]; ok {
			owner = o.Spec.Name
		}
		return []string{"container:" + owner}
	}
	var out []string
	add := func(id swarmnet.NetworkID) {
		name, ok := names[id]
		if !ok {
			name = swarmnet.ShortID(id)
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, e := range s.Endpoints {
		add(e.Network)
	}
	if len(out) == 0 {
		for _, n := range s.Spec.Networks {
			add(n.Network)
		}
	}
	if len(out) == 0 {
		return []string{s.Spec.Mode.String()}
	}
	return out
}

// troubleOf says what is not as one would expect of a sandbox that runs.
func troubleOf(s sandboxInfo, byID map[swarmnet.TaskID]sandboxInfo) string {
	if s.Spec.Mode != swarmnet.ModeShared || s.State != swarmnet.SandboxRunning {
		return ""
	}
	owner, ok := byID[s.Spec.SharedWith]
	switch {
	case !ok:
		return "the sandbox whose stack it shares was removed"
	case notRunning(owner):
		return owner.Spec.Name + ", whose stack it shares, has stopped"
	}
	return ""
}

func (l listed) onNetwork(v string) bool {
	if slices.Contains(l.networks, v) {
		return true
	}
	return slices.ContainsFunc(l.Endpoints, func(e swarmnet.Endpoint) bool { return v != "" && strings.HasPrefix(string(e.Network), v) })
}

// publishes reports whether a port is published: PORT[/PROTO] of the host.
func (l listed) publishes(v string) bool {
	number, proto, hasProto := strings.Cut(v, "/")
	return slices.ContainsFunc(l.Ports, func(p swarmnet.PortSpec) bool {
		return strconv.Itoa(int(p.Published)) == number && (!hasProto && p.Protocol == swarmnet.TCP || p.Protocol.String() == proto)
	})
}

func (l listed) row(now time.Time, noTrunc bool) psRow {
	return psRow{
		ID: shortID(l.ID, noTrunc), Names: l.Spec.Name, Command: truncate(strconv.Quote(strings.Join(l.Spec.Task.Command, " ")), 20, noTrunc),
		CreatedAt: l.Meta.CreatedAt.UTC().Format("2006-01-02 15:04:05 -0700 MST"), RunningFor: ago(l.Meta.CreatedAt, now),
		Status: l.status(now), State: l.State.String(), Ports: strings.Join(publishedText(l.Sandbox), ", "),
		Networks: strings.Join(l.networks, ","), Labels: labelText(l.Spec.Task.Labels), Service: l.Service,
	}
}

// status is docker's: Up 5 minutes, Exited (0) 2 hours ago.
func (l listed) status(now time.Time) string {
	switch l.State {
	case swarmnet.SandboxRunning:
		up := "Up"
		if d := strings.TrimSuffix(ago(l.Started, now), " ago"); d != "" {
			up += " " + strings.ToLower(d)
		}
		if l.trouble != "" {
			up += " (" + l.trouble + ")"
		}
		return up
	case swarmnet.SandboxRestarting, swarmnet.SandboxExited:
		return strings.TrimSpace(fmt.Sprintf("%s (%d) %s", title(l.State.String()), l.Status.ExitCode, ago(l.Finished, now)))
	}
	return title(l.State.String())
}

func newestFirst(s []sandboxInfo) {
	slices.SortStableFunc(s, func(a, b sandboxInfo) int { return b.Meta.CreatedAt.Compare(a.Meta.CreatedAt) })
}
