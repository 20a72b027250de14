package cli

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet/cli/view"
	"github.com/swarmnet/swarmnet/internal/version"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

func (a *app) info(ctx context.Context) (*pb.InfoResponse, error) {
	local, err := a.local(ctx)
	if err != nil {
		return nil, err
	}
	return local.Info(ctx, &pb.InfoRequest{})
}

// clusterInfo is what `cluster info` shows, by the names of its templates.
type clusterInfo struct {
	Cluster, Node, Hostname, Role, State, Error string
	Quorum                                      bool
	Managers                                    []string
	ManagerCount, NodeCount, RunningTasks       uint32
	AdvertiseAddr, DataPathAddr                 string
	DataPathPort                                uint32
	Balancer, BalancerWhy, Version, Kernel      string
	Features                                    []string
	Uptime                                      time.Duration
	Repaired                                    uint64
}

func (a *app) clusterInfoCmd() *cobra.Command {
	var format string
	cmd := &cobra.Command{Use: "info", Short: "Show this node's part in its cluster", Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
		r, err := a.info(cmd.Context())
		if err != nil {
			return err
		}
		i := clusterInfo{
			Cluster: r.GetClusterId(), Node: r.GetNodeId(), Hostname: r.GetHostname(), State: r.GetState(), Error: r.GetError(), Quorum: r.GetQuorum(),
			Managers: r.GetManagers(), ManagerCount: r.GetManagerCount(), NodeCount: r.GetNodeCount(), RunningTasks: r.GetRunningTasks(),
			AdvertiseAddr: r.GetAdvertiseAddr(), DataPathAddr: r.GetVtep(), DataPathPort: r.GetDataPathPort(),
			Balancer: r.GetBalancer(), BalancerWhy: r.GetBalancerWhy(), Version: r.GetVersion(), Kernel: r.GetKernel(), Features: r.GetFeatures(), Uptime: r.GetUptime().AsDuration(),
			Repaired: r.GetRepaired(),
		}
		if r.GetRole() != pb.Role_ROLE_UNSPECIFIED {
			i.Role = strings.ToLower(strings.TrimPrefix(r.GetRole().String(), "ROLE_"))
		}
		if format != "" {
			return a.showObjects([]view.Value{view.Of(i)}, format, false)
		}
		showInfo(a.stdout, i)
		return nil
	}}
	cmd.Flags().StringVar(&format, "format", "", "json or a Go template")
	return cmd
}

func showInfo(w io.Writer, i clusterInfo) {
	tw := tabwriter.NewWriter(w, 0, 1, 2, ' ', 0)
	defer tw.Flush()
	line := func(key string, value any) {
		if s := fmt.Sprint(value); s != "" && s != "[]" {
			fmt.Fprintf(tw, "%s:\t%s\n", key, s)
		}
	}
	line("Cluster", i.State)
	line(" Error", i.Error)
	if i.State != "inactive" {
		line(" ID", i.Cluster)
		line(" Node", i.Node)
		line(" Role", i.Role)
		if i.Role == "manager" {
			line(" Quorum", i.Quorum)
			line(" Managers", i.ManagerCount)
			line(" Nodes", i.NodeCount)
		}
		line(" Manager addresses", strings.Join(i.Managers, ", "))
		line(" Advertised address", i.AdvertiseAddr)
		line(" Data path", fmt.Sprintf("%s port %d", i.DataPathAddr, i.DataPathPort))
		line(" Running tasks", i.RunningTasks)
	}
	line("Hostname", i.Hostname)
	line("Balancer", because(i.Balancer, i.BalancerWhy))
	line("Kernel", i.Kernel)
	line("Kernel features", strings.Join(i.Features, ", "))
	line("Version", i.Version)
	line("Uptime", i.Uptime)
	if i.Repaired > 0 {
		line("Drift put right", fmt.Sprintf("%d changes, see `swarmnet events --since %s --filter event=drift`", i.Repaired, i.Uptime))
	}
}

// versions is what `version` shows, by the names of its templates. Daemon is nil when none answers.
type versions struct {
	Client clientVersion
	Daemon *daemonVersion
}

type clientVersion struct{ Version, Commit, GoVersion, OS, Arch string }

type daemonVersion struct {
	Version, Commit, GoVersion, Kernel string
	Features                           []string
	Balancer, BalancerWhy              string
}

func (a *app) versionCmd() *cobra.Command {
	var format string
	cmd := &cobra.Command{Use: "version", Short: "Show the versions of client and daemon", Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
		v := versions{Client: clientVersion{version.Version, version.Commit, runtime.Version(), runtime.GOOS, runtime.GOARCH}}
		r, err := a.info(cmd.Context())
		if err == nil {
			v.Daemon = &daemonVersion{r.GetVersion(), r.GetCommit(), r.GetGoVersion(), r.GetKernel(), r.GetFeatures(), r.GetBalancer(), r.GetBalancerWhy()}
		}
		if format != "" {
			return a.showObjects([]view.Value{view.Of(v)}, format, false)
		}
		showVersions(a.stdout, v, err)
		return nil
	}}
	cmd.Flags().StringVar(&format, "format", "", "json or a Go template")
	return cmd
}

// showVersions says why there is no daemon: the client's part is an answer of its own.
func showVersions(w io.Writer, v versions, why error) {
	tw := tabwriter.NewWriter(w, 0, 1, 2, ' ', 0)
	defer tw.Flush()
	fmt.Fprintf(tw, "Client:\n Version:\t%s\n Commit:\t%s\n Go version:\t%s\n OS/Arch:\t%s/%s\n", v.Client.Version, v.Client.Commit, v.Client.GoVersion, v.Client.OS, v.Client.Arch)
	d := v.Daemon
	if d == nil {
		fmt.Fprintf(tw, "Daemon:\t%s\n", explain(why))
		return
	}
	fmt.Fprintf(tw, "Daemon:\n Version:\t%s\n Commit:\t%s\n Go version:\t%s\n Kernel:\t%s\n Features:\t%s\n Balancer:\t%s\n",
		d.Version, d.Commit, d.GoVersion, d.Kernel, strings.Join(d.Features, ", "), because(d.Balancer, d.BalancerWhy))
}

// because is a choice with what decided it, where that was told.
func because(choice, why string) string {
	if why == "" {
		return choice
	}
	return choice + ", since " + why
}
