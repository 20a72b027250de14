package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// names lists what an argument can be completed to.
type names func(ctx context.Context, c pb.ControlClient) ([]string, error)

// complete asks the cluster; a cluster that cannot be asked completes nothing.
func (a *app) complete(list names) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		control, err := a.control(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		all, err := list(ctx, control)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for _, n := range all {
			if strings.HasPrefix(n, prefix) {
				out = append(out, n)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

func nodeNames(ctx context.Context, c pb.ControlClient) ([]string, error) {
	r, err := c.ListNodes(ctx, &pb.ListNodesRequest{})
	var out []string
	for _, n := range r.GetNodes() {
		name := n.GetSpec().GetName()
		if name == "" {
			name = n.GetDescription().GetHostname()
		}
		out = append(out, name)
	}
	return out, err
}

func serviceNames(ctx context.Context, c pb.ControlClient) ([]string, error) {
	r, err := c.ListServices(ctx, &pb.ListServicesRequest{})
	var out []string
	for _, s := range r.GetServices() {
		out = append(out, s.GetSpec().GetName())
	}
	return out, err
}
