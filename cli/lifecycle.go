package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

func (a *app) stopCmd() *cobra.Command {
	var f stopFlags
	cmd := &cobra.Command{Use: "stop NAME…", Short: "Stop sandboxes of this node", Args: atLeast("NAME"), ValidArgsFunction: a.completeSandboxes(0, running),
		Long: `Stop sandboxes of this node: their stop signal first, SIGKILL when the stop timeout is over. Their published ports are free at once;
their addresses stay theirs.

As docker stop. A sandbox that was stopped is not started again by its restart policy; with --restart always it is when the daemon starts.`,
		Example: "  swarmnet stop db\n  swarmnet stop $(swarmnet ps -q --filter label=tier=test)",
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := f.request(cmd)
			if err != nil {
				return err
			}
			local, err := a.node(cmd.Context())
			if err != nil {
				return err
			}
			return a.eachAtOnce(args, func(ref string) error {
				_, err := local.StopSandbox(cmd.Context(), &pb.StopSandboxRequest{Ref: ref, Grace: req.Grace, Signal: req.Signal})
				return err
			})
		}}
	f.add(a, cmd)
	return cmd
}

func (a *app) startCmd() *cobra.Command {
	var attach, interactive bool
	cmd := &cobra.Command{Use: "start NAME…", Short: "Start sandboxes of this node that do not run", Args: atLeast("NAME"), ValidArgsFunction: a.completeSandboxes(0, notRunning),
		Long: `Start sandboxes of this node that do not run, with the addresses and names that they had. One that runs is left as it is.

As docker start; -a shows the output of one, passes signals on as run does, and ends with its status.`,
		Example: "  swarmnet start db\n  swarmnet start -ai shell",
		RunE: func(cmd *cobra.Command, args []string) error {
			if (attach || interactive) && len(args) > 1 {
				return usagef("-a and -i go with one NAME: %d given", len(args))
			}
			local, err := a.node(cmd.Context())
			if err != nil {
				return err
			}
			if !attach && !interactive {
				return a.eachAtOnce(args, func(ref string) error {
					_, err := local.StartSandbox(cmd.Context(), &pb.ObjectRef{Ref: ref})
					return err
				})
			}
			return ownFailures(a.startAttached(cmd.Context(), local, args[0], interactive))
		}}
	cmd.Flags().BoolVarP(&attach, "attach", "a", false, "show its output and end with its status")
	cmd.Flags().BoolVarP(&interactive, "interactive", "i", false, "the same, and pass standard input on, if it was made with -i")
	return cmd
}

func (a *app) startAttached(ctx context.Context, local pb.LocalClient, ref string, interactive bool) error {
	s, _, err := a.sandbox(ctx, ref)
	if err != nil {
		return err
	}
	if interactive && !s.Spec.Task.Stdin {
		return fmt.Errorf("the standard input of sandbox %s is not open: it was made without -i", s.Spec.Name)
	}
	f := following{interactive: interactive, detachable: !s.Spec.AutoRemove} // one that runs already is shown from its beginning
	if notRunning(s) && s.State != swarmnet.SandboxCreated {
		if f.before, err = outputSize(ctx, local, string(s.ID)); err != nil {
			return err
		}
	}
	if _, err := local.StartSandbox(ctx, &pb.ObjectRef{Ref: string(s.ID)}); err != nil {
		return err
	}
	return a.follow(ctx, local, s, f)
}

func (a *app) rmCmd() *cobra.Command {
	var force bool
	cmd := &cobra.Command{Use: "rm NAME…", Short: "Remove sandboxes of this node", Args: atLeast("NAME"),
		Long: `Remove sandboxes of this node, with their addresses, names and output.

As docker rm; there are no volumes and links to remove. Tasks of services are their service's to remove.
` + "`swarmnet prune`" + ` removes all that do not run.`,
		Example: "  swarmnet rm db\n  swarmnet rm -f $(swarmnet ps -aq)",
		RunE: func(cmd *cobra.Command, args []string) error {
			local, err := a.node(cmd.Context())
			if err != nil {
				return err
			}
			return a.eachAtOnce(args, func(ref string) error {
				_, err := local.RemoveSandbox(cmd.Context(), &pb.RemoveSandboxRequest{Ref: ref, Force: force})
				return err
			})
		}}
	cmd.ValidArgsFunction = a.completeSandboxes(0, func(s sandboxInfo) bool { return s.Service == "" && (force || notRunning(s)) })
	cmd.Flags().BoolVarP(&force, "force", "f", false, "kill it first, if it runs")
	return cmd
}

func (a *app) waitCmd() *cobra.Command {
	return &cobra.Command{Use: "wait NAME…", Short: "Wait until sandboxes of this node do not run, and print their exit status", Args: atLeast("NAME"), ValidArgsFunction: a.completeSandboxes(0, running),
		Long: `Wait until sandboxes of this node do not run, and print the exit status of each.

As docker wait: one that does not run is not waited for.`,
		Example: "  swarmnet wait job",
		RunE: func(cmd *cobra.Command, args []string) error {
			local, err := a.node(cmd.Context())
			if err != nil {
				return err
			}
			return a.inOrder(args, len(args), func(ref string) (string, error) {
				m, err := local.WaitSandbox(cmd.Context(), &pb.ObjectRef{Ref: ref})
				return strconv.Itoa(int(m.GetStatus().GetExitCode())), err
			})
		}}
}

// inspectCmd of the program shows sandboxes and networks alike.
func (a *app) inspectAnyCmd() *cobra.Command {
	var (
		kind    string
		verbose bool
	)
	get := func(ctx context.Context, ref string) (any, error) {
		if kind != "network" {
			s, _, err := a.sandbox(ctx, ref)
			if err == nil || kind == "sandbox" || !isNotFound(err) {
				return s, err
			}
		}
		n, err := a.network(ctx, ref)
		switch {
		case err == nil:
			return a.networkInfo(ctx, n, verbose)
		case kind == "":
			return nil, fmt.Errorf("no sandbox of this node and no network %q: `swarmnet ps -a` and `swarmnet network ls` list them", ref)
		}
		return nil, err
	}
	complete := func(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return append(a.sandboxNames(args, prefix, nil), a.networkRefs(args, prefix, nil)...), cobra.ShellCompDirectiveNoFileComp
	}
	cmd := inspectCmd(a, "NAME", "Show sandboxes of this node and networks in full", complete, get)
	cmd.Long = `Show sandboxes of this node, tasks' too, and networks in full: a JSON array.

As docker inspect, with fields of swarmnet's own. A name is looked for among the sandboxes first; --type says which is meant.`
	cmd.Flags().StringVar(&kind, "type", "", "sandbox or network")
	addVerbose(cmd, &verbose)
	inner := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch kind {
		case "", "sandbox", "network":
			return inner(cmd, args)
		}
		return usagef("--type %q: sandbox or network is wanted", kind)
	}
	return cmd
}
