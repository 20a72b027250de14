package daemon

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// connectTask puts one task of a service on an attachable network of the cluster, while it runs. err is why the task was not found.
func (s *localServer) connectTask(ctx context.Context, a *agent.Agent, task swarmnet.Sandbox, att swarmnet.NetworkAttachment, err error) (*pb.Sandbox, error) {
	if err != nil {
		return nil, err
	}
	if n, err := s.d.local.Read().Network(string(att.Network)); err == nil {
		return nil, status.Errorf(codes.FailedPrecondition, "%s is a task of service %s, and network %s is this node's own: tasks can be on networks of the cluster",
			task.Spec.Name, taskOf(task), n.Spec.Name)
	}
	set := a.Assigned()
	for _, ep := range task.Endpoints {
		if n := set.Networks[ep.Network]; string(n.ID) == string(att.Network) || n.Spec.Name == string(att.Network) {
			return nil, status.Errorf(codes.AlreadyExists, "%s is on network %s already", task.Spec.Name, n.Spec.Name)
		}
	}
	got, err := a.Attach(ctx, task.ID, taskOf(task), att, "")
	if err != nil {
		return nil, refusal(err)
	}
	return s.moved(ctx, a, task, got.Network.ID, true)
}

// disconnectTask takes a task off a network that connectTask put it on.
func (s *localServer) disconnectTask(ctx context.Context, a *agent.Agent, task swarmnet.Sandbox, network string, err error) (*pb.Sandbox, error) {
	if err != nil {
		return nil, err
	}
	set := a.Assigned()
	at := slices.IndexFunc(task.Endpoints, func(ep swarmnet.Endpoint) bool {
		return string(ep.Network) == network || set.Networks[ep.Network].Spec.Name == network
	})
	switch {
	case at < 0:
		return nil, status.Errorf(codes.NotFound, "%s is not on network %s: `swarmnet inspect %s` shows where it is", task.Spec.Name, network, task.Spec.Name)
	case task.Endpoints[at].Service != "":
		return nil, status.Errorf(codes.FailedPrecondition, "%s is on network %s by its service: take all its tasks off, with `swarmnet service update --network-rm %s %s`",
			task.Spec.Name, network, network, taskOf(task))
	}
	id := task.Endpoints[at].Network
	if err := a.Detach(ctx, task.ID, id); err != nil {
		return nil, refusal(err)
	}
	return s.moved(ctx, a, task, id, false)
}

// moved returns when a task's interface on a network has come or gone.
func (s *localServer) moved(ctx context.Context, a *agent.Agent, task swarmnet.Sandbox, network swarmnet.NetworkID, on bool) (*pb.Sandbox, error) {
	within, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	if err := a.Connected(within, task.ID, network, on); err != nil {
		return nil, status.Error(codes.DeadlineExceeded, fmt.Sprintf("the change is noted, but is not in force after %s: see the daemon's log", settleTimeout))
	}
	return s.get(ctx, string(task.ID))
}
