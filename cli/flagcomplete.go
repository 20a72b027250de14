package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagValues are what the flags of a name can be, wherever they are.
var flagValues = map[string][]string{
	"availability":      {"active", "pause", "drain"},
	"balancer":          {"auto", "ipvs", "nft"},
	"endpoint-mode":     {"vip", "dnsrr"},
	"ipvs-scheduler":    {"rr", "wrr", "lc", "sh", "mh"},
	"log-format":        {"text", "json"},
	"log-level":         {"debug", "info", "warn", "error"},
	"mode":              {"replicated", "global", "external"},
	"restart":           {"no", "on-failure", "always", "unless-stopped"},
	"role":              {"worker", "manager"},
	"tail":              {"all"},
	"type":              {"sandbox", "network"},
	"order":             {"stop-first", "start-first"},
	"failure-action":    {"pause", "continue", "rollback"},
	"restart-condition": {"any", "on-failure", "none"},
	"format":            {"json"},
}

// flagFiles are the flags that take a file, flagDirs those that take a directory; a shell completes both by itself.
var (
	flagFiles = map[string]bool{"config": true, "env-file": true, "label-file": true, "cidfile": true, "socket": true}
	flagDirs  = map[string]bool{"cert-path": true, "data-dir": true, "run-dir": true, "output": true, "workdir": true}
)

// flagBegins are how values begin that go on.
var flagBegins = map[string][]string{
	"constraint":     {"node.id==", "node.hostname==", "node.role==", "node.labels."},
	"constraint-add": {"node.id==", "node.hostname==", "node.role==", "node.labels."},
	"publish":        {"published=", "target="},
	"publish-add":    {"published=", "target="},
	"opt":            {"icc=", "masquerade=", "mtu=", "parent=", "macvlan_mode=", "vni="},
	"host":           {"unix://"},
}

// completeFlags completes the flags of a command that do not say themselves how: where nothing is known, a shell must not offer files.
func (a *app) completeFlags(cmd *cobra.Command) {
	complete := func(f *pflag.Flag) {
		if _, said := cmd.GetFlagCompletionFunc(f.Name); said || f.Value.Type() == "bool" || f.Name == "help" {
			return
		}
		name := strings.TrimPrefix(strings.TrimPrefix(f.Name, "update-"), "rollback-")
		switch {
		case flagFiles[f.Name]:
			a.mustCompleteFlag(cmd, f.Name, completeCommand)
		case flagDirs[f.Name]:
			a.mustCompleteFlag(cmd, f.Name, cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs))
		case f.Name == "stop-signal" || f.Name == "signal":
			a.mustCompleteFlag(cmd, f.Name, completeSignals)
		case flagBegins[f.Name] != nil:
			a.mustCompleteFlag(cmd, f.Name, completeKeys(flagBegins[f.Name]...))
		case flagValues[name] != nil:
			a.mustCompleteFlag(cmd, f.Name, completeValues(flagValues[name]...))
		case f.Name == "network" || f.Name == "network-add" || f.Name == "network-rm":
			a.mustCompleteFlag(cmd, f.Name, a.completeServiceNetwork)
		default:
			a.mustCompleteFlag(cmd, f.Name, cobra.NoFileCompletions)
		}
	}
	cmd.LocalNonPersistentFlags().VisitAll(complete)
	cmd.PersistentFlags().VisitAll(complete)
}

// completeServiceNetwork completes the networks that a service can be on.
func (a *app) completeServiceNetwork(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.networkRefs(nil, prefix, func(n network) bool { return !n.local && !n.Spec.Ingress }), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
