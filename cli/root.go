// Package cli is the admin command line, a file a noun. It speaks gRPC to a daemon's socket or to a manager.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
)

// app is what all commands share: one invocation.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	host           string
	certPath       string
	conn           *grpc.ClientConn
	now            func() time.Time
	atOnce         int // how many objects one command deals with at the same time
}

// Run runs one command line, args without the program's name, and returns the exit status: 0 done, 1 refused or failed, 2 wrong usage.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, now: time.Now, atOnce: atOnce}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if a.conn != nil {
		a.conn.Close()
	}
	return report(stderr, err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "swarmnet",
		Short:         "A network control plane for clusters of hosts",
		SilenceErrors: true,
		SilenceUsage:  true,
		// Flags before the noun are the program's: `service create --host` is another flag than `swarmnet --host`.
		TraverseChildren: true,
	}
	group(root)
	root.SetFlagErrorFunc(flagError)
	root.CompletionOptions.HiddenDefaultCmd = false
	defaultHost := "unix:///run/swarmnet/swarmnet.sock"
	if h := os.Getenv("SWARMNET_HOST"); h != "" {
		defaultHost = h
	}
	root.PersistentFlags().StringVarP(&a.host, "host", "H", defaultHost, "daemon to ask: unix:///PATH, or HOST:PORT of a manager (SWARMNET_HOST)")
	root.PersistentFlags().StringVar(&a.certPath, "cert-path", os.Getenv("SWARMNET_CERT_PATH"), "directory with an admin certificate, for HOST:PORT (SWARMNET_CERT_PATH)")
	root.AddCommand(a.runCmd(), a.psCmd(), a.execCmd(), a.logsCmd(), a.portCmd(), a.stopCmd(), a.startCmd(), a.restartCmd(), a.killCmd(),
		a.attachCmd(), a.topCmd(), a.renameCmd(), a.rmCmd(), a.pruneCmd(), a.waitCmd(), a.inspectAnyCmd())
	root.AddCommand(a.clusterCmd(), a.nodeCmd(), a.networkCmd(), a.serviceCmd(), a.eventsCmd(), a.versionCmd(), a.doctorCmd(), a.diffCmd(), a.traceCmd(),
		a.daemonCmd(), a.whoamiCmd(), a.probeCmd(), a.labCmd())
	a.finish(root)
	return root
}

// group makes a command that only holds others refuse what it does not hold, and show its help when nothing was asked of it.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		hint := ""
		if elsewhere, ok := dockerWords[args[0]]; ok && !cmd.HasParent() {
			hint = ": " + elsewhere
		} else if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
			slices.SortStableFunc(s, func(a, b string) int { return editDistance(args[0], a) - editDistance(args[0], b) })
			slices.SortStableFunc(s, func(a, b string) int { return prefixed(b, args[0]) - prefixed(a, args[0]) })
			hint = fmt.Sprintf(": did you mean %q?", s[0])
		} else {
			hint = fmt.Sprintf(": `%s --help` lists them", cmd.CommandPath())
		}
		return usagef("%s has no command %q%s", cmd.CommandPath(), args[0], hint)
	}
	cmd.SuggestionsMinimumDistance = 2
	return cmd
}

// dockerWords say where what docker's users look for is to be found.
var dockerWords = map[string]string{
	"container": "the commands of sandboxes have no noun, as in `swarmnet run`, `swarmnet ps` and `swarmnet prune`",
	"swarm":     "that is `swarmnet cluster`",
	"system":    "see `swarmnet prune`, `swarmnet network prune`, `swarmnet events` and `swarmnet cluster info`",
	"info":      "see `swarmnet cluster info` and `swarmnet version`",
	"create":    "sandboxes are made and started by `swarmnet run`; networks and services by `swarmnet network create` and `swarmnet service create`",
	"image":     "there are no images: a sandbox runs a program of this host",
	"images":    "there are no images: a sandbox runs a program of this host",
	"pull":      "there are no images: a sandbox runs a program of this host",
	"build":     "there are no images: a sandbox runs a program of this host",
	"volume":    "there are no volumes: a sandbox sees the files of this host",
	"cp":        "a sandbox sees the files of this host: use cp",
	"pause":     "use `swarmnet kill -s STOP`",
	"unpause":   "use `swarmnet kill -s CONT`",
	"stack":     "there are no stacks: see `swarmnet service create`",
}

func prefixed(name, prefix string) int {
	if strings.HasPrefix(name, prefix) {
		return 1
	}
	return 0
}

// exitStatus is an exit status that is not an error of ours: a command that was run ended with it.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// usageError is a command line that cannot be meant.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitError is an error with an exit status of its own.
type exitError struct {
	error
	code int
}

func (e exitError) Unwrap() error { return e.error }

func report(stderr io.Writer, err error) int {
	var (
		st    exitStatus
		usage usageError
		exit  exitError
	)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &st):
		return int(st)
	}
	fmt.Fprintf(stderr, "Error: %s\n", strings.ReplaceAll(strings.TrimSpace(explain(err)), "\n", "; "))
	switch {
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &usage):
		return 2
	}
	return 1
}

// exactly, atLeast and between are cobra's argument checks with messages that say what is wanted.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usagef("`%s` takes %s: %d given; see `%s --help`", cmd.CommandPath(), wanted(names), len(args), cmd.CommandPath())
		}
		return nil
	}
}

func atLeast(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usagef("`%s` needs %s: see `%s --help`", cmd.CommandPath(), strings.Join(names, " "), cmd.CommandPath())
		}
		return nil
	}
}

func atMost(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef("`%s` takes one %s or none: %d given; see `%s --help`", cmd.CommandPath(), name, len(args), cmd.CommandPath())
		}
		return nil
	}
}

func wanted(names []string) string {
	if len(names) == 0 {
		return "no arguments"
	}
	return strings.Join(names, " ")
}
