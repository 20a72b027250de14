package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/swarmnet/swarmnet/cli/parse"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// stopFlags say how a sandbox is stopped.
type stopFlags struct {
	seconds int
	signal  string
}

func (f *stopFlags) add(a *app, cmd *cobra.Command) {
	cmd.Flags().IntVarP(&f.seconds, "time", "t", 0, "seconds between the signal and SIGKILL (default the sandbox's own)")
	cmd.Flags().StringVarP(&f.signal, "signal", "s", "", "signal to send instead of the sandbox's own")
	a.mustCompleteFlag(cmd, "signal", completeSignals)
	a.mustCompleteFlag(cmd, "time", cobra.NoFileCompletions)
}

func (f *stopFlags) request(cmd *cobra.Command) (*pb.StopSandboxRequest, error) {
	req := &pb.StopSandboxRequest{}
	if cmd.Flags().Changed("time") {
		grace, err := parse.Seconds("time", f.seconds)
		if err != nil {
			return nil, usageError{err}
		}
		req.Grace = durationpb.New(grace)
	}
	name, err := parse.Signal("signal", f.signal)
	if err != nil {
		return nil, usageError{err}
	}
	req.Signal = name
	return req, nil
}

func (a *app) restartCmd() *cobra.Command {
	var f stopFlags
	cmd := &cobra.Command{Use: "restart NAME…", Short: "Stop sandboxes of this node and start them again", Args: atLeast("NAME"), ValidArgsFunction: a.completeSandboxes(0, ownSandbox),
		Long: `Stop sandboxes of this node and start them again, with the addresses, names and ports that they had. One that does not run is started.

As docker restart. One that was made with --rm stays.`,
		Example: "  swarmnet restart -t 5 db",
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
				_, err := local.RestartSandbox(cmd.Context(), &pb.StopSandboxRequest{Ref: ref, Grace: req.Grace, Signal: req.Signal})
				return err
			})
		}}
	f.add(a, cmd)
	return cmd
}

func (a *app) killCmd() *cobra.Command {
	signal := "SIGKILL"
	cmd := &cobra.Command{Use: "kill NAME…", Short: "Send the commands of sandboxes of this node a signal", Args: atLeast("NAME"), ValidArgsFunction: a.completeSandboxes(0, running),
		Long: `Send the commands of sandboxes of this node a signal, that and nothing else.

As docker kill, with this difference: what ends by SIGKILL, SIGTERM, SIGINT, SIGQUIT or its stop signal is not started again by its
restart policy; with another signal the policy counts.`,
		Example: "  swarmnet kill db\n  swarmnet kill -s HUP web proxy",
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := parse.Signal("signal", signal)
			if err == nil && name == "" {
				err = fmt.Errorf("--signal \"\": a signal is wanted")
			}
			if err != nil {
				return usageError{err}
			}
			local, err := a.node(cmd.Context())
			if err != nil {
				return err
			}
			return a.eachAtOnce(args, func(ref string) error {
				_, err := local.SignalSandbox(cmd.Context(), &pb.SignalSandboxRequest{Ref: ref, Signal: name})
				return err
			})
		}}
	cmd.Flags().StringVarP(&signal, "signal", "s", signal, "signal to send, by name or number")
	a.mustCompleteFlag(cmd, "signal", completeSignals)
	return cmd
}

func (a *app) renameCmd() *cobra.Command {
	return &cobra.Command{Use: "rename NAME NEWNAME", Short: "Give a sandbox of this node another name", Args: exactly("NAME", "NEWNAME"), ValidArgsFunction: a.completeSandboxes(1, ownSandbox),
		Long: `Give a sandbox of this node another name. Others on its networks find it by that at once, and not by the old one any more.

As docker rename, with this difference: while it is on a network of the cluster it keeps its name.`,
		Example: "  swarmnet rename db db-old",
		RunE: func(cmd *cobra.Command, args []string) error {
			local, err := a.node(cmd.Context())
			if err != nil {
				return err
			}
			_, err = local.RenameSandbox(cmd.Context(), &pb.RenameSandboxRequest{Ref: args[0], Name: args[1]})
			return err
		}}
}

type topRow struct{ UID, PID, PPID, STime, Time, RSS, Command string }

func (a *app) topCmd() *cobra.Command {
	var ref string
	cmd := lsCmd(a, lister[*pb.Process, topRow]{
		use: "top NAME", short: "List the processes of a sandbox of this node",
		long: `List the processes of a sandbox of this node, a task's too, by the numbers that the host knows them by.

As docker top, with these differences: it takes --format instead of options of ps; RSS is the memory that they occupy, in KiB.`,
		example: "  swarmnet top db\n  swarmnet top db -q",
		columns: []column[topRow]{{"UID", "UID"}, {"PID", "PID"}, {"PPID", "PPID"}, {"STIME", "STime"}, {"TIME", "Time"}, {"RSS", "RSS"}, {"CMD", "Command"}},
		quiet:   func(r topRow) string { return r.PID }, quietText: "process ids only",
		list: func(ctx context.Context, _ bool) ([]*pb.Process, error) {
			local, err := a.node(ctx)
			if err != nil {
				return nil, err
			}
			r, err := local.Top(ctx, &pb.ObjectRef{Ref: ref})
			return r.GetProcesses(), err
		},
		row: func(p *pb.Process, noTrunc bool) topRow {
			started := p.GetStarted().AsTime()
			stime := started.Format("15:04")
			if a.now().Sub(started) > 24*time.Hour {
				stime = started.Format("Jan02")
			}
			cpu := p.GetCpu().AsDuration()
			return topRow{
				UID: p.GetUser(), PID: strconv.Itoa(int(p.GetPid())), PPID: strconv.Itoa(int(p.GetParent())), STime: stime,
				Time: fmt.Sprintf("%02d:%02d:%02d", int(cpu.Hours()), int(cpu.Minutes())%60, int(cpu.Seconds())%60),
				RSS:  strconv.FormatUint(p.GetMemory()>>10, 10), Command: truncate(p.GetCommand(), 80, noTrunc),
			}
		},
	})
	inner := cmd.RunE
	cmd.Args, cmd.ValidArgsFunction = exactly("NAME"), a.completeSandboxes(1, running)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ref = args[0]
		return inner(cmd, nil)
	}
	return cmd
}

// ownSandbox are those that are no service's.
func ownSandbox(s sandboxInfo) bool { return s.Service == "" }
