package cli

import "github.com/spf13/cobra"

// pauseCmd does nothing until it is stopped: it holds the sandbox of an interactive run.
func (a *app) pauseCmd() *cobra.Command {
	return &cobra.Command{Use: "pause", Short: "Do nothing until stopped", Hidden: true, Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
		<-cmd.Context().Done()
		return nil
	}}
}
