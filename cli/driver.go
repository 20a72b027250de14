package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet/driver"
)

// driverHelp lists the drivers that networks can be made of, each with its options.
func driverHelp() string {
	var b strings.Builder
	for _, d := range driver.All() {
		if d.Only {
			continue
		}
		scope := "node"
		if d.Cluster {
			scope = "cluster"
		}
		fmt.Fprintf(&b, "  -d %-8s  %s (scope %s)\n", d.Name, d.Summary, scope)
		for _, o := range d.Options {
			help := o.Help
			if len(o.Values) > 0 {
				help += ": " + strings.Join(o.Values, ", ")
			}
			if o.Required {
				help += " (required)"
			}
			fmt.Fprintf(&b, "       --opt %-12s  %s\n", o.Name, help)
		}
	}
	return b.String()
}

func completeDrivers(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	var out []string
	for _, d := range driver.All() {
		if !d.Only && strings.HasPrefix(d.Name, prefix) {
			out = append(out, cobra.CompletionWithDesc(d.Name, d.Summary))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeOptions completes KEY= of a driver's options, then their values; a value that is a file is the shell's to complete.
func completeOptions(name, prefix string) ([]string, cobra.ShellCompDirective) {
	d, _ := driver.Find(name)
	key, value, hasValue := strings.Cut(prefix, "=")
	var out []string
	if !hasValue {
		for _, o := range d.Options {
			if strings.HasPrefix(o.Name, key) {
				out = append(out, cobra.CompletionWithDesc(o.Name+"=", o.Help))
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	i := slices.IndexFunc(d.Options, func(o driver.Option) bool { return o.Name == key || o.Docker == key && key != "" })
	if i < 0 || len(d.Options[i].Values) == 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	for _, v := range d.Options[i].Values {
		if strings.HasPrefix(v, value) {
			out = append(out, key+"="+v)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
