package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet/lab"
	"github.com/swarmnet/swarmnet/lab/demo"
)

func (a *app) labCmd() *cobra.Command {
	cmd := group(&cobra.Command{Use: "lab", Short: "A cluster on this machine, each node in namespaces of its own"})
	name := lab.DefaultName
	cmd.PersistentFlags().StringVar(&name, "name", name, "which lab")
	one := func(use, short string, do func(ctx context.Context, l *lab.Lab, node string) error) *cobra.Command {
		return &cobra.Command{Use: use + " NODE", Short: short, Args: exactly("NODE"), ValidArgsFunction: completeLabNodes(&name), RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(name)
			if err != nil {
				return err
			}
			return do(cmd.Context(), l, args[0])
		}}
	}
	var hard bool
	stop := one("stop", "End a node's daemon alone; its workloads live on", func(_ context.Context, l *lab.Lab, node string) error { return l.Stop(node, hard) })
	stop.Flags().BoolVar(&hard, "kill", false, "by SIGKILL and not SIGTERM")
	heal := one("heal", "Mend a node's underlay link, or all links", func(_ context.Context, l *lab.Lab, node string) error { return l.Heal(node) })
	heal.Use, heal.Args = "heal [NODE]", atMost("NODE")
	inner := heal.RunE
	heal.RunE = func(cmd *cobra.Command, args []string) error { return inner(cmd, append(args, "")) }
	cmd.AddCommand(a.labUpCmd(&name), a.labDownCmd(&name), a.labLsCmd(), a.labStatusCmd(&name), a.labExecCmd(&name), a.labAddCmd(&name), a.labDemoCmd(&name),
		one("kill", "Cut a node's power: daemon and workloads end at once", func(_ context.Context, l *lab.Lab, node string) error { return l.Kill(node) }),
		stop,
		one("start", "Boot a node that is off, or start its daemon", func(ctx context.Context, l *lab.Lab, node string) error { return l.Start(ctx, node) }),
		one("cut", "Cut a node's underlay link; the node is not told", func(_ context.Context, l *lab.Lab, node string) error { return l.Cut(node) }),
		a.labNarrowCmd(&name),
		heal,
	)
	return cmd
}

func (a *app) labNarrowCmd(name *string) *cobra.Command {
	nodes := completeLabNodes(name)
	return &cobra.Command{Use: "narrow NODE OCTETS", Short: "Have a node's underlay link lose larger packets without a word; 1500 undoes it", Args: exactly("NODE", "OCTETS"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return []string{"1300", "1500"}, cobra.ShellCompDirectiveNoFileComp
			}
			return nodes(cmd, args, prefix)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			octets, err := strconv.Atoi(args[1])
			if err != nil {
				return usagef("%q is no number of octets", args[1])
			}
			l, err := lab.Open(*name)
			if err != nil {
				return err
			}
			return l.Narrow(args[0], octets)
		}}
}

func (a *app) labUpCmd(name *string) *cobra.Command {
	var c lab.Config
	cmd := &cobra.Command{Use: "up [FLAGS] [-- CLUSTER-INIT-FLAGS…]", DisableFlagsInUseLine: true, Short: "Start a lab; returns when its cluster is formed", RunE: func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("managers") && c.Managers == 0 {
			return usagef("a lab needs at least one manager")
		}
		c.Name, c.InitArgs = *name, args
		c.Progress = func(s string) { fmt.Fprintln(a.stdout, s) }
		l, err := lab.Up(cmd.Context(), c)
		if err != nil {
			return err
		}
		return a.showFormed(cmd.Context(), l, c)
	}}
	cmd.Flags().IntVar(&c.Managers, "managers", 3, "how many managers")
	cmd.Flags().IntVar(&c.Workers, "workers", 0, "how many workers")
	cmd.Flags().BoolVar(&c.IPv6, "ipv6", false, "give the underlay IPv6 addresses as well, for the cluster to use")
	cmd.Flags().BoolVar(&c.IPv6Only, "ipv6-only", false, "give the underlay IPv6 addresses alone")
	cmd.Flags().StringVar(&c.Balancer, "balancer", "", "balancer of every daemon: auto, ipvs or nft")
	cmd.Flags().BoolVar(&c.NoCluster, "no-cluster", false, "boot the nodes and start no daemon")
	return cmd
}

func (a *app) showFormed(ctx context.Context, l *lab.Lab, c lab.Config) error {
	if c.NoCluster {
		fmt.Fprintf(a.stdout, "the lab %s is up, without a cluster\n", l.Name)
		return nil
	}
	out, err := l.Swarmnet(ctx, "n1", "node", "ls")
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s\nthe lab %s is up: try `%s`\n", out, l.Name, lab.CommandLine(l.Name, "exec n1 -- swarmnet node ls"))
	return nil
}

func (a *app) labDownCmd(name *string) *cobra.Command {
	var all bool
	cmd := &cobra.Command{Use: "down", Short: "End a lab and leave nothing behind", Args: exactly(), RunE: func(*cobra.Command, []string) error {
		names := []string{*name}
		if all {
			var err error
			if names, err = lab.Names(); err != nil {
				return err
			}
		}
		for _, n := range names {
			if err := lab.Down(n); err != nil {
				return err
			}
		}
		return nil
	}}
	cmd.Flags().BoolVar(&all, "all", false, "every lab of this user")
	return cmd
}

func (a *app) labLsCmd() *cobra.Command {
	type row struct{ Name, Status, Nodes string }
	return lsCmd(a, lister[row, row]{
		short: "List this user's labs", quiet: func(r row) string { return r.Name },
		columns: []column[row]{{"NAME", "Name"}, {"STATUS", "Status"}, {"NODES", "Nodes"}},
		list: func(context.Context, bool) ([]row, error) {
			names, err := lab.Names()
			rows := make([]row, 0, len(names))
			for _, n := range names {
				r := row{Name: n, Status: "dead"}
				if l, err := lab.Open(n); err == nil {
					if nodes, err := l.Nodes(); err == nil {
						r.Status, r.Nodes = "up", fmt.Sprint(len(nodes)-1)
					}
				}
				rows = append(rows, r)
			}
			return rows, err
		},
		row: func(r row, _ bool) row { return r },
	})
}

func (a *app) labStatusCmd(name *string) *cobra.Command {
	type row struct{ Name, Address, Power, Link, Daemon string }
	var under *lab.Lab
	cmd := lsCmd(a, lister[lab.NodeStatus, row]{
		short: "Show a lab's nodes", quiet: func(r row) string { return r.Name },
		columns: []column[row]{{"NODE", "Name"}, {"ADDRESS", "Address"}, {"POWER", "Power"}, {"LINK", "Link"}, {"DAEMON", "Daemon"}},
		list: func(context.Context, bool) ([]lab.NodeStatus, error) {
			l, err := lab.Open(*name)
			if err != nil {
				return nil, err
			}
			under = l
			return l.Nodes()
		},
		row: func(n lab.NodeStatus, _ bool) row {
			r := row{Name: n.Name, Address: under.Addr(n.Name).String(), Power: "off", Link: "up"}
			if n.On {
				r.Power = "on"
			}
			if n.Cut {
				r.Link = "cut"
			}
			switch {
			case n.Daemon.PID != 0:
				r.Daemon = "running"
			case n.Daemon.Last != "" && n.On:
				r.Daemon = "ended: " + n.Daemon.Last
			}
			return r
		},
	})
	cmd.Use, cmd.Aliases = "status", nil
	return cmd
}

func (a *app) labExecCmd(name *string) *cobra.Command {
	cmd := &cobra.Command{Use: "exec [FLAGS] NODE -- CMD [ARG…]", DisableFlagsInUseLine: true, Short: "Run a command on a node", Args: atLeast("NODE", "CMD"), ValidArgsFunction: completeLabNodes(name), RunE: func(cmd *cobra.Command, args []string) error {
		node, argv := args[0], args[1:]
		if argv[0] == "--" { // left where it is, since what follows NODE is not ours
			argv = argv[1:]
		}
		if len(argv) == 0 {
			return usagef("`%s` needs a command after --", cmd.CommandPath())
		}
		l, err := lab.Open(*name)
		if err != nil {
			return exitError{err, 125}
		}
		signals := make(chan os.Signal, 8)
		signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
		defer signal.Stop(signals)
		// Not the command's context, which an interrupt ends: the interrupt is the remote command's to handle.
		code, err := l.Exec(context.WithoutCancel(cmd.Context()), lab.Command{
			Node: node, Argv: argv, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Signals: signals,
		})
		var fail *lab.ExecError
		switch {
		case errors.As(err, &fail):
			return exitError{fail, fail.Code}
		case err != nil:
			return err
		case code != 0:
			return exitStatus(code)
		}
		return nil
	}}
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func (a *app) labAddCmd(name *string) *cobra.Command {
	var manager bool
	cmd := &cobra.Command{Use: "add", Short: "Boot one more node and join it to the cluster", Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
		l, err := lab.Open(*name)
		if err != nil {
			return err
		}
		node, err := l.Add(cmd.Context(), manager)
		if err == nil {
			fmt.Fprintln(a.stdout, node)
		}
		return err
	}}
	cmd.Flags().BoolVar(&manager, "manager", false, "as a manager")
	return cmd
}

func (a *app) labDemoCmd(name *string) *cobra.Command {
	var c demo.Config
	cmd := &cobra.Command{Use: "demo", Short: "The tour: a cluster, a service, a published port, and a node that dies", Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
		c.Name = *name
		if !cmd.Flags().Changed("name") {
			c.Name = "demo"
		}
		return demo.Run(cmd.Context(), a.stdout, c)
	}}
	cmd.Flags().StringVar(&c.Balancer, "balancer", "", "balancer of every daemon: auto, ipvs or nft")
	cmd.Flags().BoolVar(&c.IPv6, "ipv6", false, "over IPv6, the underlay too")
	cmd.Flags().BoolVar(&c.Keep, "keep", false, "leave the lab up at the end")
	cmd.Flags().BoolVar(&c.Short, "short", false, "one manager and two workers, and no node that dies")
	return cmd
}

func completeLabNodes(name *string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		l, err := lab.Open(*name)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		nodes, _ := l.Nodes() //nolint:errcheck // no completions then
		var out []string
		for _, n := range nodes {
			if strings.HasPrefix(n.Name, prefix) {
				out = append(out, n.Name)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}
