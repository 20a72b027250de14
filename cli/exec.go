package cli

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet/cli/parse"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// execution is a command to be run in a sandbox.
type execution struct {
	ref              string
	command, env     []string
	dir, user        string
	interactive, tty bool
}

func (a *app) execCmd() *cobra.Command {
	var (
		e   execution
		env []string
	)
	cmd := &cobra.Command{Use: "exec [FLAGS] NAME [--] COMMAND [ARG…]", DisableFlagsInUseLine: true, Short: "Run a command in a sandbox of this node", Args: atLeast("NAME", "COMMAND"),
		Long: `Run a command in a sandbox of this node, a task's too, with the sandbox's network, resolver and hosts file. Ends with the
command's status: 125 for a failure of swarmnet's own, 126 if the command cannot be run, 127 if there is none.

As docker exec, with these differences: the command is a program of this host; SIGINT, SIGTERM, SIGHUP and SIGQUIT are passed on to it;
there is no --detach, --env-file and --privileged.`,
		Example: "  swarmnet exec -it db -- sh\n  swarmnet exec db cat /etc/hosts",
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			e.ref, e.command = args[0], args[1:]
			if e.command[0] == "--" { // left where it is, since what follows NAME is not ours
				e.command = e.command[1:]
			}
			if len(e.command) == 0 {
				return ownFailures(usagef("`%s` needs a command after --", cmd.CommandPath()))
			}
			if e.env, err = parse.Env(env, os.LookupEnv); err != nil {
				return ownFailures(usageError{err})
			}
			local, err := a.node(cmd.Context())
			if err != nil {
				return ownFailures(err)
			}
			return ownFailures(a.exec(cmd.Context(), local, e))
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return completeCommand(cmd, args, prefix)
			}
			return a.sandboxNames(nil, prefix, running), cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().BoolVarP(&e.interactive, "interactive", "i", false, "pass standard input on")
	cmd.Flags().BoolVarP(&e.tty, "tty", "t", false, "give it a terminal")
	cmd.Flags().StringArrayVarP(&env, "env", "e", nil, "KEY=VALUE, or KEY for the value that it has here; repeatable")
	cmd.Flags().StringVarP(&e.dir, "workdir", "w", "", "working directory")
	cmd.Flags().StringVarP(&e.user, "user", "u", "", "NAME|UID[:GROUP|GID] to run as (default the sandbox's own)")
	ownUsage(cmd)
	return cmd
}

// exec runs a command in a sandbox to its end.
func (a *app) exec(ctx context.Context, local pb.LocalClient, e execution) error {
	return a.talk(ctx, conversation{
		open:  func(ctx context.Context) (pb.Local_ExecClient, error) { return local.Exec(ctx) },
		start: &pb.ExecStart{Ref: e.ref, Command: e.command, Env: e.env, Dir: e.dir, User: e.user, Tty: e.tty, Interactive: e.interactive},
	})
}
