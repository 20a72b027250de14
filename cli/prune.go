package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet/cli/parse"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

func (a *app) pruneCmd() *cobra.Command {
	var (
		force   bool
		filters []string
	)
	cmd := &cobra.Command{Use: "prune", Short: "Remove every sandbox of this node that does not run", Args: exactly(), ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Remove every sandbox of this node that does not run, with its addresses, names and output, and list them. Those that are about to be
started again stay, and tasks of services are their service's.

As docker container prune; without a terminal to ask on, --force must be said. Networks are pruned by ` + "`swarmnet network prune`" + `.`,
		Example: "  swarmnet prune --force\n  swarmnet prune --filter until=24h --filter label!=keep",
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, f := range filters {
				if _, err := until(f, a.now()); err != nil {
					return err
				}
			}
			pass, err := parseFilters(filters, map[string]filterFunc[sandboxInfo]{
				"label":  func(s sandboxInfo, v string) bool { return hasLabel(s.Spec.Task.Labels, v) },
				"label!": func(s sandboxInfo, v string) bool { return !hasLabel(s.Spec.Task.Labels, v) },
				"until": func(s sandboxInfo, v string) bool {
					t, err := parse.Moment("filter until", v, a.now())
					return err == nil && s.Meta.CreatedAt.Before(t)
				},
			})
			if err != nil {
				return err
			}
			if !force {
				if err := a.confirm("this removes every sandbox of this node that does not run"); err != nil {
					return err
				}
			}
			return a.pruneSandboxes(cmd.Context(), pass)
		}}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "do not ask")
	cmd.Flags().StringArrayVar(&filters, "filter", nil, "only what matches label=KEY[=VALUE], label!=KEY[=VALUE], or until=TIME: made before it")
	a.mustCompleteFlag(cmd, "filter", completeKeys("label=", "label!=", "until="))
	return cmd
}

// until checks the value of such a filter.
func until(filter string, now time.Time) (time.Time, error) {
	v, ok := cutKey(filter, "until")
	if !ok {
		return time.Time{}, nil
	}
	t, err := parse.Moment("filter until", v, now)
	if err == nil && v == "" {
		err = usagef("--filter %q: a time is wanted", filter)
	}
	if err != nil {
		return t, usageError{err}
	}
	return t, nil
}

func (a *app) pruneSandboxes(ctx context.Context, pass func(sandboxInfo) bool) error {
	all, err := a.sandboxes(ctx)
	if err != nil {
		return err
	}
	local, err := a.node(ctx)
	if err != nil {
		return err
	}
	var refs []string
	for _, s := range all {
		if s.Service == "" && notRunning(s) && pass(s) {
			refs = append(refs, string(s.ID))
		}
	}
	if len(refs) > 0 {
		if _, err := a.stdout.Write([]byte("Deleted Sandboxes:\n")); err != nil {
			return err
		}
	}
	return a.eachAtOnce(refs, func(ref string) error {
		_, err := local.RemoveSandbox(ctx, &pb.RemoveSandboxRequest{Ref: ref})
		if isNotFound(err) { // somebody else was faster
			return nil
		}
		return err
	})
}
