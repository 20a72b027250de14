package cli

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet/cli/whoami"
)

func (a *app) whoamiCmd() *cobra.Command {
	port := 80
	cmd := &cobra.Command{
		Use: "whoami", Short: "A tiny web server that says where it runs and who asks",
		Long: "Answers on /, /json, /bytes/N and /echo, and to UDP datagrams on the same port, with the task, service and node that it runs in and the\nclient address that it saw.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return whoami.Run(cmd.Context(), port, whoami.Identity(os.Getenv))
		},
	}
	cmd.Flags().IntVar(&port, "port", port, "TCP and UDP port to serve")
	return cmd
}
