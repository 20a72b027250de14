package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"

	"github.com/swarmnet/swarmnet/cli/parse"
	"github.com/swarmnet/swarmnet/daemon"
	"github.com/swarmnet/swarmnet/internal/procs"
	"github.com/swarmnet/swarmnet/internal/timerslack"
)

// daemonSlack is how much later than asked for the daemon may be woken. With the kernel's 50 us a third of what an idle one takes goes into the Go runtime's
// monitor, which sleeps for 20 us again and again while any thread works, and into timers that come a fraction of a millisecond before the runtime's own
// clock says so, and are waited for once more.
const daemonSlack = time.Millisecond

// daemonFlags are `swarmnet daemon`'s flags; a YAML file may hold the same, by the same names.
type daemonFlags struct {
	c                           daemon.Config
	dns                         []string
	config, logLevel, logFormat string
}

func (a *app) daemonCmd() *cobra.Command {
	var f daemonFlags
	cmd := &cobra.Command{Use: "daemon", Short: "Run this host's part of a cluster", Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
		if err := f.load(cmd.Flags()); err != nil {
			return err
		}
		logger, err := newLogger(a.stderr, f.logLevel, f.logFormat)
		if err != nil {
			return usageError{err}
		}
		f.c.Logger = logger
		if f.c.DNS, err = parse.Addrs("dns", f.dns); err != nil {
			return usageError{err}
		}
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(50) // memory is the workloads': half the garbage that Go would keep, for a little more work
		}
		if err := timerslack.Set(daemonSlack); err != nil {
			logger.Warn("an idle daemon will take more of the processor", "err", err)
		}
		ctx, cancel := context.WithCancel(cmd.Context())
		var watch sync.WaitGroup
		watch.Go(func() { procs.Watch(ctx) })
		defer watch.Wait()
		defer cancel()
		return daemon.Run(ctx, f.c)
	}}
	fl := cmd.Flags()
	fl.StringVar(&f.config, "config", "", "YAML file with any of these flags; a flag on the command line goes before it")
	fl.StringVar(&f.c.DataDir, "data-dir", "/var/lib/swarmnet", "what must be kept")
	fl.StringVar(&f.c.RunDir, "run-dir", "/run/swarmnet", "what a reboot may lose")
	fl.StringVar(&f.c.SocketPath, "socket", "", "socket of the local API (default RUN-DIR/swarmnet.sock)")
	fl.StringVar(&f.c.ListenAddr, "listen-addr", ":4747", "[HOST]:PORT of the cluster's listener; without HOST every address, of either family")
	fl.StringVar(&f.c.AdvertiseAddr, "advertise-addr", "", "HOST[:PORT] that other nodes are told (default: this host's only address)")
	fl.StringVar(&f.c.DataPathAddr, "data-path-addr", "", "address of VXLAN traffic (default: the advertised one)")
	fl.IntVar(&f.c.GossipPort, "gossip-port", 7946, "port of gossip")
	fl.StringVar(&f.c.Balancer, "balancer", "auto", "auto, ipvs or nft")
	fl.StringVar(&f.c.IPVSScheduler, "ipvs-scheduler", "", "how IPVS picks a task: rr, wrr, lc, sh or mh (default rr)")
	fl.StringArrayVar(&f.dns, "dns", nil, "name server for outside names (default: the host's); repeatable")
	fl.StringVar(&f.c.Hostname, "hostname", "", "name of this node (default: the host's)")
	fl.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	fl.StringVar(&f.logFormat, "log-format", "text", "text or json")
	return cmd
}

// load sets the flags that the file names and the command line does not.
func (f *daemonFlags) load(fl *pflag.FlagSet) error {
	if f.config == "" {
		return nil
	}
	b, err := os.ReadFile(f.config)
	if err != nil {
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(b, &values); err != nil {
		return fmt.Errorf("%s is not YAML: %w", f.config, err)
	}
	var errs []error
	for _, name := range sortedKeys(values) {
		flag := fl.Lookup(name)
		if flag == nil || name == "config" || name == "host" {
			errs = append(errs, fmt.Errorf("%s: there is no setting %q: `swarmnet daemon --help` lists them", f.config, name))
			continue
		}
		if flag.Changed {
			continue
		}
		list, ok := values[name].([]any)
		if !ok {
			list = []any{values[name]}
		}
		for _, v := range list {
			if err := fl.Set(name, fmt.Sprint(v)); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", f.config, err))
			}
		}
	}
	return errors.Join(errs...)
}

func newLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: one of debug, info, warn, error is wanted", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("--log-format %q: text or json is wanted", format)
}
