package cli

import (
	"context"
	"fmt"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// probeWritesCmd makes many networks at once and prints the name of each as soon as, and only if, its creation is acknowledged.
func (a *app) probeWritesCmd() *cobra.Command {
	var count, parallel int
	cmd := &cobra.Command{Use: "writes", Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
		control, err := a.control(cmd.Context())
		if err != nil {
			return err
		}
		var mu sync.Mutex
		g, ctx := errgroup.WithContext(cmd.Context())
		g.SetLimit(parallel)
		for i := range count {
			g.Go(func() error {
				name := fmt.Sprintf("w%d", i)
				if !write(ctx, control, name) {
					return ctx.Err()
				}
				mu.Lock()
				defer mu.Unlock()
				_, err := fmt.Fprintln(a.stdout, name)
				return err
			})
		}
		return g.Wait()
	}}
	cmd.Flags().IntVar(&count, "count", 1000, "how many")
	cmd.Flags().IntVar(&parallel, "parallel", 16, "how many at once")
	return cmd
}

// write reports whether the write was acknowledged. One that was not may have happened or not: it is not tried again.
func write(ctx context.Context, control pb.ControlClient, name string) bool {
	spec := swarmnet.NetworkSpec{Name: name, Driver: swarmnet.DriverOverlay}
	_, err := control.CreateNetwork(ctx, &pb.CreateNetworkRequest{Spec: wire.NetworkSpecToProto(spec)})
	return err == nil
}
