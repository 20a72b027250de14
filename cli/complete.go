package cli

import (
	"context"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// completeTime bounds how long a shell waits for a daemon.
const completeTime = 2 * time.Second

// names lists what an argument can be completed to.
type names func(ctx context.Context, c pb.ControlClient) ([]ref, error)

// complete asks the cluster; a cluster that cannot be asked completes nothing. most bounds how many arguments are completed, 0 does not.
func (a *app) complete(most int, list names) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.clusterRefs(list, args, prefix), cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) clusterRefs(list names, given []string, prefix string) []string {
	ctx, cancel := context.WithTimeout(context.Background(), completeTime)
	defer cancel()
	control, err := a.control(ctx)
	if err != nil {
		return nil
	}
	all, err := list(ctx, control)
	if err != nil {
		return nil
	}
	return matching(all, given, prefix)
}

func nodeNames(ctx context.Context, c pb.ControlClient) ([]ref, error) {
	r, err := c.ListNodes(ctx, &pb.ListNodesRequest{})
	var out []ref
	for _, n := range r.GetNodes() {
		name := n.GetSpec().GetName()
		if name == "" {
			name = n.GetDescription().GetHostname()
		}
		out = append(out, ref{name, n.GetId()})
	}
	return out, err
}

func serviceNames(ctx context.Context, c pb.ControlClient) ([]ref, error) {
	r, err := c.ListServices(ctx, &pb.ListServicesRequest{})
	var out []ref
	for _, s := range r.GetServices() {
		out = append(out, ref{s.GetSpec().GetName(), s.GetId()})
	}
	return out, err
}

// ref is the name and the id of an object.
type ref struct{ name, id string }

// matching completes a prefix to names, and to ids once a part of one is typed; what is given already is left out.
func matching(refs []ref, given []string, prefix string) []string {
	used := map[string]bool{}
	for _, g := range given {
		used[g] = true
	}
	var out []string
	for _, r := range refs {
		if used[r.name] || used[r.id] || used[swarmnet.ShortID(r.id)] {
			continue
		}
		if strings.HasPrefix(r.name, prefix) {
			out = append(out, r.name)
		}
		if prefix != "" && strings.HasPrefix(r.id, prefix) {
			out = append(out, swarmnet.ShortID(r.id))
		}
	}
	return out
}

// completeValues completes the values of a flag that are known.
func completeValues(values ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

// completeKeys completes the beginnings of values that go on.
func completeKeys(keys ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(keys, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace)
}

// completeFormat completes the words of a --format; a template is the person's.
func completeFormat(words ...string) cobra.CompletionFunc { return completeValues(words...) }

// completeFilter completes the keys of a --filter, and the values of those that have few.
func completeFilter(keys []string, values ...map[string][]string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, prefix string) (out []string, _ cobra.ShellCompDirective) {
		if k, v, ok := strings.Cut(prefix, "="); ok {
			for _, m := range values {
				for _, known := range m[k] {
					if strings.HasPrefix(known, v) {
						out = append(out, k+"="+known)
					}
				}
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		}
		for _, k := range keys {
			if strings.HasPrefix(k, prefix) {
				out = append(out, k+"=")
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

func completeSignals(_ *cobra.Command, _ []string, prefix string) (out []string, _ cobra.ShellCompDirective) {
	for n := range 65 {
		name := unix.SignalName(syscall.Signal(n))
		if name == "" {
			continue
		}
		for _, form := range []string{name, strings.TrimPrefix(name, "SIG")} { // as it was begun
			if strings.HasPrefix(form, strings.ToUpper(prefix)) {
				out = append(out, form)
				break
			}
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// noCompletion has a shell offer nothing for flags whose values only a person knows: else it would offer files.
func (a *app) noCompletion(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		a.mustCompleteFlag(cmd, name, cobra.NoFileCompletions)
	}
}
