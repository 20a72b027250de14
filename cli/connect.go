package cli

import (
	"errors"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/cli/parse"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

func (a *app) networkConnectCmd() *cobra.Command {
	var (
		ip, ip6  string
		aliases  []string
		priority int32
	)
	cmd := &cobra.Command{Use: "connect NETWORK SANDBOX", Short: "Connect a sandbox of this node to a network", Args: exactly("NETWORK", "SANDBOX"), ValidArgsFunction: a.completeConnect(notStackless),
		Long: `Connect a sandbox of this node to one more network, whether it runs or not. If it runs, interface, names and aliases come at once.

A task of a service can be connected, too, while it runs, to an attachable network of the cluster: it is there by its own names alone, and a task
that replaces it is not. "service update --network-add" puts all tasks of a service on a network, and the service's name.

As docker network connect, without --link, --link-local-ip and --driver-opt.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			addrs, err := parse.EndpointFlags(ip, ip6)
			if err != nil {
				return usageError{err}
			}
			for _, alias := range aliases {
				if alias == "" {
					return usagef("--alias \"\": a name is wanted")
				}
			}
			at := swarmnet.NetworkAttachment{Network: swarmnet.NetworkID(args[0]), Aliases: aliases, EndpointSettings: swarmnet.EndpointSettings{
				Addrs: addrs, GatewayPriority: int(priority),
			}}
			local, err := a.node(cmd.Context())
			if err != nil {
				return err
			}
			_, err = local.ConnectNetwork(cmd.Context(), &pb.ConnectNetworkRequest{Sandbox: args[1], Attachment: wire.NetworkAttachmentToProto(at)})
			return err
		}}
	cmd.Flags().StringVar(&ip, "ip", "", "fixed IPv4 address")
	cmd.Flags().StringVar(&ip6, "ip6", "", "fixed IPv6 address")
	cmd.Flags().StringArrayVar(&aliases, "alias", nil, "further name on that network; repeatable")
	cmd.Flags().Int32Var(&priority, "gw-priority", 0, "the network of the highest priority has the default route; among equals the first by name")
	return cmd
}

func (a *app) networkDisconnectCmd() *cobra.Command {
	var force bool
	cmd := &cobra.Command{Use: "disconnect NETWORK SANDBOX", Short: "Disconnect a sandbox of this node from a network", Args: exactly("NETWORK", "SANDBOX"), ValidArgsFunction: a.completeConnect(notStackless),
		Long: `Disconnect a sandbox of this node from a network. If it runs, interface, names and aliases go at once; its other networks are not disturbed.

As docker network disconnect; -f goes on where the network does not exist any more.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			local, err := a.node(cmd.Context())
			if err != nil {
				return err
			}
			_, err = local.DisconnectNetwork(cmd.Context(), &pb.DisconnectNetworkRequest{Sandbox: args[1], Network: args[0], Force: force})
			return err
		}}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "also if the network is gone")
	return cmd
}

// isNotFound reports whether a daemon does not know what it was asked for.
func isNotFound(err error) bool {
	var grpcErr interface{ GRPCStatus() *status.Status }
	return errors.As(err, &grpcErr) && grpcErr.GRPCStatus().Code() == codes.NotFound
}
