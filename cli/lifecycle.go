package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/cli/parse"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

func (a *app) stopCmd() *cobra.Command {
	var (
		seconds int
		signal  string
	)
	cmd := &cobra.Command{Use: "stop NAME…", Short: "Stop sandboxes of this node", Args: atLeast("NAME"), ValidArgsFunction: a.completeSandboxes(0, running),
		Long: `Stop sandboxes of this node: their stop signal first, SIGKILL when the stop timeout is over. Their published ports are free at once;
their addresses stay theirs.

As docker stop. A sandbox that was stopped is not started again by its restart policy, also not when the daemon starts.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			req := pb.StopSandboxRequest{}
			if cmd.Flags().Changed("time") {
				grace, err := parse.Seconds("time", seconds)
				if err != nil {
					return usageError{err}
				}
				req.Grace = durationpb.New(grace)
			}
			name, err := parse.Signal("signal", signal)
			if err != nil {
				return usageError{err}
			}
			req.Signal = name
			local, err := a.node(cmd.Context())
			if err != nil {
				return err
			}
			return a.each(args, func(ref string) error {
				_, err := local.StopSandbox(cmd.Context(), &pb.StopSandboxRequest{Ref: ref, Grace: req.Grace, Signal: req.Signal})
				return err
			})
		}}
	cmd.Flags().IntVarP(&seconds, "time", "t", 0, "seconds between the signal and SIGKILL (default the sandbox's own)")
	cmd.Flags().StringVarP(&signal, "signal", "s", "", "signal to send instead of the sandbox's own")
	return cmd
}

func (a *app) startCmd() *cobra.Command {
	var attach bool
	cmd := &cobra.Command{Use: "start NAME…", Short: "Start sandboxes of this node that do not run", Args: atLeast("NAME"), ValidArgsFunction: a.completeSandboxes(0, notRunning),
		Long: `Start sandboxes of this node that do not run, with the addresses and names that they had.

As docker start; -a shows the output of one, passes signals on as run does, and ends with its status. There is no -i.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if attach && len(args) > 1 {
				return usagef("-a goes with one NAME: %d given", len(args))
			}
			local, err := a.node(cmd.Context())
			if err != nil {
				return err
			}
			if !attach {
				return a.each(args, func(ref string) error {
					_, err := local.StartSandbox(cmd.Context(), &pb.ObjectRef{Ref: ref})
					return err
				})
			}
			return ownFailures(a.startAttached(cmd.Context(), local, args[0]))
		}}
	cmd.Flags().BoolVarP(&attach, "attach", "a", false, "show its output and end with its status")
	return cmd
}

func (a *app) startAttached(ctx context.Context, local pb.LocalClient, ref string) error {
	s, _, err := a.sandbox(ctx, ref)
	if err != nil {
		return err
	}
	before := 0 // one that runs already is shown from its beginning
	if notRunning(s) && s.State != swarmnet.SandboxCreated {
		if before, err = outputSize(ctx, local, string(s.ID)); err != nil {
			return err
		}
	}
	if _, err := local.StartSandbox(ctx, &pb.ObjectRef{Ref: string(s.ID)}); err != nil {
		return err
	}
	return a.attach(ctx, local, s, before, false)
}

func (a *app) rmCmd() *cobra.Command {
	var force bool
	cmd := &cobra.Command{Use: "rm NAME…", Short: "Remove sandboxes of this node", Args: atLeast("NAME"),
		Long: `Remove sandboxes of this node, with their addresses, names and output.

As docker rm; there are no volumes and links to remove. Tasks of services are their service's to remove.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			local, err := a.node(cmd.Context())
			if err != nil {
				return err
			}
			return a.each(args, func(ref string) error {
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
		RunE: func(cmd *cobra.Command, args []string) error {
			local, err := a.node(cmd.Context())
			if err != nil {
				return err
			}
			var errs []error
			for _, ref := range args {
				m, err := local.WaitSandbox(cmd.Context(), &pb.ObjectRef{Ref: ref})
				if err != nil {
					errs = append(errs, errors.New(explain(err)))
					continue
				}
				fmt.Fprintln(a.stdout, m.GetStatus().GetExitCode())
			}
			return errors.Join(errs...)
		}}
}

func (a *app) logsCmd() *cobra.Command {
	var (
		follow bool
		tail   string
	)
	cmd := &cobra.Command{Use: "logs NAME", Short: "Show the output of a sandbox of this node", Args: exactly("NAME"), ValidArgsFunction: a.completeSandboxes(1, nil),
		Long: `Show the output of a sandbox of this node, a task's too: its standard output and standard error, each to our own.

As docker logs, without --since, --until, --timestamps and --details.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := parse.Tail(tail)
			if err != nil {
				return usageError{err}
			}
			s, local, err := a.sandbox(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return copyLogs(cmd.Context(), local, &pb.LogsRequest{Task: string(s.ID), Follow: follow, Tail: n}, a.stdout, a.stderr)
		}}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until it has ended")
	cmd.Flags().StringVarP(&tail, "tail", "n", "all", "the last so many lines")
	return cmd
}

// inspectCmd of the program shows sandboxes and networks alike.
func (a *app) inspectAnyCmd() *cobra.Command {
	var kind string
	get := func(ctx context.Context, ref string, verbose bool) (any, error) {
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
