package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// The labels by which a service's task is told among the sandboxes of a node.
const (
	serviceLabel = "swarmnet.service"
	taskLabel    = "swarmnet.task"
)

// sandboxInfo is a sandbox of this node as inspect shows it. Service is set for a service's task.
type sandboxInfo struct {
	swarmnet.Sandbox
	Service string
}

func sandboxFrom(m *pb.Sandbox) (sandboxInfo, error) {
	s, err := wire.SandboxFromProto(m)
	info := sandboxInfo{Sandbox: s, Service: m.GetService()}
	if info.Service != "" {
		labels := map[string]string{serviceLabel: info.Service, taskLabel: string(s.ID)}
		for k, v := range s.Spec.Task.Labels {
			labels[k] = v
		}
		info.Spec.Task.Labels = labels
	}
	return info, err
}

// node is the API of a node itself, for what only the node knows: its sandboxes.
func (a *app) node(ctx context.Context) (pb.LocalClient, error) {
	if !strings.HasPrefix(a.host, "unix://") {
		return nil, usagef("--host %s: sandboxes are asked for on their own node, by its daemon's socket: use --host unix:///PATH there", a.host)
	}
	return a.local(ctx)
}

// sandboxes are all of this node, those that do not run too, the newest first.
func (a *app) sandboxes(ctx context.Context) ([]sandboxInfo, error) {
	local, err := a.node(ctx)
	if err != nil {
		return nil, err
	}
	r, err := local.ListSandboxes(ctx, &pb.ListSandboxesRequest{All: true})
	if err != nil {
		return nil, err
	}
	out := make([]sandboxInfo, len(r.GetSandboxes()))
	for i, m := range r.GetSandboxes() {
		if out[i], err = sandboxFrom(m); err != nil {
			return nil, err
		}
	}
	sortBy(out, func(s sandboxInfo) string { return string(s.ID) })
	newestFirst(out)
	return out, nil
}

func (a *app) sandbox(ctx context.Context, ref string) (sandboxInfo, pb.LocalClient, error) {
	local, err := a.node(ctx)
	if err != nil {
		return sandboxInfo{}, nil, err
	}
	m, err := local.GetSandbox(ctx, &pb.ObjectRef{Ref: ref})
	if err != nil {
		return sandboxInfo{}, nil, err
	}
	s, err := sandboxFrom(m)
	return s, local, err
}

// completeSandboxes completes names of sandboxes, those that pass keep, each once; max bounds how many arguments are completed, 0 does not.
func (a *app) completeSandboxes(most int, keep func(sandboxInfo) bool) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.sandboxNames(args, prefix, keep), cobra.ShellCompDirectiveNoFileComp
	}
}

// sandboxNames are what begins with the prefix: names, and ids once a part of one is typed.
func (a *app) sandboxNames(given []string, prefix string, keep func(sandboxInfo) bool) []string {
	ctx, cancel := context.WithTimeout(context.Background(), completeTime)
	defer cancel()
	all, err := a.sandboxes(ctx)
	if err != nil {
		return nil
	}
	var refs []ref
	for _, s := range all {
		if keep == nil || keep(s) {
			refs = append(refs, ref{s.Spec.Name, string(s.ID)})
		}
	}
	return matching(refs, given, prefix)
}

func running(s sandboxInfo) bool {
	return s.State == swarmnet.SandboxRunning || s.State == swarmnet.SandboxRestarting
}

func notRunning(s sandboxInfo) bool { return !running(s) }
