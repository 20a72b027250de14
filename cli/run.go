package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/cli/parse"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// ownFailure is the exit status of run and exec when the failure is ours and not the workload's.
const ownFailure = 125

// runFlags are the flags of run.
type runFlags struct {
	parse.Sandbox
	detach, remove       bool
	envFiles, labelFiles []string
	cidFile              string
}

func (a *app) runCmd() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{Use: "run [FLAGS] [--] COMMAND [ARG…]", DisableFlagsInUseLine: true, Short: "Make a sandbox on this node and run a command in it", Args: atLeast("COMMAND"),
		Long: `Make a sandbox on this node and run a command in it.

Without -d, shows the command's output, passes signals on, and ends with the command's status when that ends for the first time: 125
for a failure of swarmnet's own, 126 if the command cannot be run, 127 if there is none. With -i standard input is passed on, with -t the
command has a terminal; Ctrl-P Ctrl-Q leaves it running (but not with --rm).

As docker run, with these differences:
  - There is no image: COMMAND is a program of this host, with files of its own for /etc/resolv.conf, /etc/hosts and /etc/hostname.
    So there are no volumes, and no --entrypoint, --pull and --read-only. Ended children are always reaped, as with docker's --init.
  - The end of standard input ends the command's, also of one that was started with -d.
  - Without -d, it is this program that does what --rm says.
  - --publish with --network host is refused, not ignored; sctp cannot be published.
  - --network takes mac-address= and ip6=, and may be repeated for several networks.`,
		Example: "  swarmnet run -d --name db --network mynet -p 5432:5432 -- postgres -D /srv/db\n  swarmnet run --rm -it --network container:db -- sh\n  swarmnet run -d --restart on-failure:3 -- /opt/worker",
		RunE: func(cmd *cobra.Command, args []string) error {
			f.Command = args
			return ownFailures(a.run(cmd.Context(), f))
		},
		ValidArgsFunction: completeCommand,
	}
	cmd.Flags().SetInterspersed(false) // what follows the command's name is the command's
	f.add(cmd)
	ownUsage(cmd)
	a.mustCompleteFlag(cmd, "network", a.completeRunNetwork)
	return cmd
}

func (f *runFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.BoolVarP(&f.detach, "detach", "d", false, "return when it runs, and print its id")
	fl.BoolVar(&f.remove, "rm", false, "remove the sandbox when the command has ended")
	fl.BoolVarP(&f.Stdin, "interactive", "i", false, "pass standard input on; with -d, keep it open")
	fl.BoolVarP(&f.TTY, "tty", "t", false, "give it a terminal")
	fl.StringVar(&f.Name, "name", "", "name of the sandbox; without it one is chosen")
	fl.StringArrayVar(&f.Networks, "network", nil, "NETWORK[,alias=NAME…][,ip=…][,ip6=…][,mac-address=…][,gw-priority=N], none, host or container:NAME; repeatable (default bridge)")
	fl.StringVar(&f.IP, "ip", "", "fixed IPv4 address on the first network")
	fl.StringVar(&f.IP6, "ip6", "", "fixed IPv6 address on the first network")
	fl.StringVar(&f.MAC, "mac-address", "", "Ethernet address on the first network")
	fl.StringArrayVar(&f.Aliases, "network-alias", nil, "further name on the first network; repeatable")
	fl.StringArrayVarP(&f.Publish, "publish", "p", nil, "[[IP:][PUBLISHED]:]TARGET[/PROTO], ranges too (FROM-TO:TARGET is the first free one), or published=,target=,protocol=,ip=; repeatable")
	fl.StringArrayVar(&f.DNS, "dns", nil, "name server for outside names, asked from the sandbox; repeatable")
	fl.StringArrayVar(&f.DNSSearch, "dns-search", nil, "search domain; repeatable")
	fl.StringArrayVar(&f.DNSOptions, "dns-option", nil, "resolver option, as in resolv.conf; repeatable")
	fl.StringArrayVar(&f.Hosts, "add-host", nil, "NAME:ADDRESS for the hosts file; repeatable")
	fl.StringVar(&f.Hostname, "hostname", "", "hostname inside")
	fl.StringArrayVarP(&f.Env, "env", "e", nil, "KEY=VALUE, or KEY for the value that it has here; repeatable")
	fl.StringArrayVar(&f.envFiles, "env-file", nil, "file of such lines; repeatable, --env comes after")
	fl.StringArrayVarP(&f.Labels, "label", "l", nil, "KEY=VALUE, or "+serviceLabel+"=SERVICE to join an external service on its network; repeatable")
	fl.StringArrayVar(&f.labelFiles, "label-file", nil, "file of KEY=VALUE lines; repeatable, --label comes after")
	fl.StringVarP(&f.User, "user", "u", "", "NAME|UID[:GROUP|GID] of this host to run as (default the daemon's)")
	fl.StringVar(&f.cidFile, "cidfile", "", "file to write the id to; it must not exist")
	fl.StringVarP(&f.Dir, "workdir", "w", "", "working directory")
	fl.StringVar(&f.Restart, "restart", "no", "no, on-failure[:N], always or unless-stopped")
	fl.StringVar(&f.StopSignal, "stop-signal", "", "signal that asks it to stop (default SIGTERM)")
	fl.IntVar(&f.StopTimeout, "stop-timeout", -1, "seconds between that signal and SIGKILL; -1: 10")
}

// check refuses flags that exclude each other.
func (f *runFlags) check() error {
	if f.remove && f.Restart != "no" && f.Restart != "" {
		return usagef("--rm does not go with --restart %s: one removes what the other starts again", f.Restart)
	}
	return nil
}

// spec reads the flags, and the files that they name.
func (f *runFlags) spec() (swarmnet.SandboxSpec, error) {
	in := f.Sandbox
	for _, name := range f.envFiles {
		lines, err := parse.LinesFile("env-file", name)
		if err != nil {
			return swarmnet.SandboxSpec{}, err
		}
		in.EnvLines = append(in.EnvLines, lines...)
	}
	for _, name := range f.labelFiles {
		lines, err := parse.LinesFile("label-file", name)
		if err != nil {
			return swarmnet.SandboxSpec{}, err
		}
		in.LabelLines = append(in.LabelLines, lines...)
	}
	spec, err := in.Spec(os.LookupEnv)
	spec.AutoRemove = f.remove && f.detach
	return spec, err
}

func (a *app) run(ctx context.Context, f runFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	spec, err := f.spec()
	if err != nil {
		return usageError{err}
	}
	if f.Stdin && f.TTY && !f.detach && !isTerminal(a.stdin) {
		return usagef("-t with -i needs a terminal, and standard input is none: leave -t out")
	}
	cid, err := openCIDFile(f.cidFile)
	if err != nil {
		return err
	}
	local, err := a.node(ctx)
	if err != nil {
		return cid.discard(err)
	}
	s, err := create(ctx, local, spec)
	if err != nil {
		return cid.discard(err)
	}
	if err := cid.write(string(s.ID)); err != nil {
		return err
	}
	if f.detach {
		fmt.Fprintln(a.stdout, s.ID)
		return nil
	}
	return a.follow(ctx, local, s, following{interactive: f.Stdin, detachable: !f.remove, remove: f.remove})
}

// cidFile is the file of --cidfile; nil: none.
type cidFile struct{ *os.File }

func openCIDFile(path string) (*cidFile, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("--cidfile %s: the file exists: another sandbox may run under its id; remove the file if not", path)
	}
	if err != nil {
		return nil, fmt.Errorf("--cidfile: %w", err)
	}
	return &cidFile{f}, nil
}

func (c *cidFile) write(id string) error {
	if c == nil {
		return nil
	}
	_, err := c.WriteString(id)
	if err = errors.Join(err, c.Close()); err != nil {
		return fmt.Errorf("--cidfile: %w", err)
	}
	return nil
}

// discard removes the file of a sandbox that was not made.
func (c *cidFile) discard(why error) error {
	if c == nil {
		return why
	}
	return errors.Join(why, c.Close(), os.Remove(c.Name()))
}

func create(ctx context.Context, local pb.LocalClient, spec swarmnet.SandboxSpec) (sandboxInfo, error) {
	m, err := local.CreateSandbox(ctx, &pb.CreateSandboxRequest{Spec: wire.SandboxSpecToProto(spec), Start: true})
	if err != nil {
		return sandboxInfo{}, err
	}
	return sandboxFrom(m)
}

// removeSandbox removes what this command made, also when it is interrupted.
func removeSandbox(ctx context.Context, local pb.LocalClient, id swarmnet.TaskID) error {
	_, err := local.RemoveSandbox(context.WithoutCancel(ctx), &pb.RemoveSandboxRequest{Ref: string(id), Force: true})
	return err
}

// ownFailures gives an error of ours the status that no workload's is mistaken for; the workload's own passes.
func ownFailures(err error) error {
	var st exitStatus
	var exit exitError
	switch {
	case err == nil, errors.As(err, &st), errors.As(err, &exit):
		return err
	}
	code, text := ownFailure, explain(err)
	switch { // the executor's sentinels, in the daemon's words
	case strings.Contains(text, "command not found"):
		code = 127
	case strings.Contains(text, "command cannot be run"):
		code = 126
	}
	return exitError{errors.New(text), code}
}

// ownUsage gives wrong usage of a command the status of its own failures: 2 may be the workload's.
func ownUsage(cmd *cobra.Command) {
	args := cmd.Args
	cmd.Args = func(cmd *cobra.Command, given []string) error { return ownFailures(args(cmd, given)) }
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return ownFailures(flagError(cmd, err)) })
}

// completeCommand leaves commands and their arguments to the shell.
func completeCommand(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

func (a *app) mustCompleteFlag(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // the flag's name is a constant of ours
	}
}

func (a *app) completeRunNetwork(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if name, ok := strings.CutPrefix(prefix, "container:"); ok {
		var out []string
		for _, n := range a.sandboxNames(nil, name, nil) {
			out = append(out, "container:"+n)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
	out := a.networkRefs(nil, prefix, nil)
	if strings.HasPrefix("container:", prefix) {
		out = append(out, "container:")
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
