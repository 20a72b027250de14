package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/swarmnet/swarmnet"
)

// externalFlags are the flags of service create and update that mean something to a service without tasks of its own.
var externalFlags = []string{"name", "mode", "network", "network-add", "network-rm", "publish", "publish-add", "publish-rm", "label", "label-add", "label-rm",
	"endpoint-mode", "detach", "quiet"}

// checkExternal refuses the flags of a command that are about tasks, for a service that has none of its own.
func checkExternal(cmd *cobra.Command, s *swarmnet.ServiceSpec) (err error) {
	if s.Mode != swarmnet.External {
		return nil
	}
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed && err == nil && !slices.Contains(externalFlags, f.Name) {
			err = fmt.Errorf("--%s is about tasks, and an external service has none of its own: say it of the sandboxes that join, with `swarmnet run`", f.Name)
		}
	})
	return err
}

// serviceCommand wants a command, or none for an external service.
func serviceCommand(f *serviceFlags) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if !strings.EqualFold(f.mode, swarmnet.External.String()) {
			return atLeast("COMMAND")(cmd, args)
		}
		if len(args) > 0 {
			return usagef("`%s` takes no COMMAND with --mode external: sandboxes join the service, as in `swarmnet run --label %s=NAME -- COMMAND`", cmd.CommandPath(), serviceLabel)
		}
		return nil
	}
}
