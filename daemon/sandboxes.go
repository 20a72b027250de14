package daemon

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent"
	"github.com/swarmnet/swarmnet/agent/executor/process"
	"github.com/swarmnet/swarmnet/agent/local"
	"github.com/swarmnet/swarmnet/agent/session"
	"github.com/swarmnet/swarmnet/driver"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

func (s *localServer) CreateSandbox(ctx context.Context, req *pb.CreateSandboxRequest) (*pb.Sandbox, error) {
	spec, err := wire.SandboxSpecFromProto(req.GetSpec())
	if err != nil {
		return nil, badRequest(err)
	}
	if err := process.CheckSignal(spec.Task.StopSignal); err != nil {
		return nil, badRequest(err)
	}
	env, a, err := s.d.env(ctx)
	if err != nil {
		return nil, err
	}
	id := swarmnet.TaskID(swarmnet.NewID())
	if spec.Name == "" {
		spec.Name = s.d.local.Read().ChooseName(id)
	}
	if st := s.d.local.Read(); s.d.current() != nil { // before the managers are asked for anything
		if _, _, err := st.CreateSandbox(id, withoutForeign(st, spec), env); err != nil {
			return nil, refusal(err)
		}
	}
	attached, joined, err := s.attachAll(ctx, a, id, &spec, &env)
	if err == nil && !joined {
		err = notJoined(spec)
	}
	if err == nil {
		_, err = s.d.local.Step(func(st local.State) (next local.State, err error) {
			next, _, err = st.CreateSandbox(id, spec, env)
			return next, err
		})
	}
	if err != nil {
		if attached {
			s.detach(ctx, a, id, "")
		}
		return nil, refusal(err)
	}
	if req.GetStart() {
		if err := s.start(ctx, string(id)); err != nil {
			if undo := s.removeNow(context.WithoutCancel(ctx), a, string(id)); undo != nil {
				s.d.log.Warn("a sandbox that did not start is still there", "sandbox", spec.Name, "err", undo)
			}
			return nil, err
		}
	}
	return s.get(ctx, string(id))
}

// withoutForeign is the spec without the attachments to networks that are not the node's own.
func withoutForeign(st local.State, spec swarmnet.SandboxSpec) swarmnet.SandboxSpec {
	var own []swarmnet.NetworkAttachment
	for _, att := range spec.Networks {
		if _, err := st.Network(string(att.Network)); err == nil {
			own = append(own, att)
		}
	}
	if len(own) == 0 && len(spec.Networks) > 0 && spec.Mode == swarmnet.ModeNetworks {
		spec.Mode = swarmnet.ModeNone // the default network is not asked for
	}
	spec.Networks = own
	return spec
}

// attachAll asks the managers for endpoints on those networks that are not the node's own. It reports whether any was asked for, and whether
// the sandbox has joined the service that its label names; one without has.
func (s *localServer) attachAll(ctx context.Context, a *agent.Agent, id swarmnet.TaskID, spec *swarmnet.SandboxSpec, env *local.Env) (asked, joined bool, err error) {
	joined = wishedService(*spec) == ""
	for i, att := range spec.Networks {
		got, foreign, err := s.attach(ctx, a, id, *spec, att)
		asked, joined = asked || foreign, joined || got.Endpoint.Service != ""
		if err != nil {
			return asked, joined, err
		}
		if foreign {
			spec.Networks[i].Network = got.Network.ID
			env.Cluster = append(env.Cluster, got.Network)
		}
	}
	return asked, joined, nil
}

// attach asks the managers for an endpoint if the network is not the node's own. The network's id is known afterwards.
func (s *localServer) attach(ctx context.Context, a *agent.Agent, id swarmnet.TaskID, spec swarmnet.SandboxSpec, att swarmnet.NetworkAttachment) (session.Attachment, bool, error) {
	_, err := s.d.local.Read().Network(string(att.Network))
	var r *local.Refusal
	if !errors.As(err, &r) || r.Kind != local.NotFound {
		return session.Attachment{}, false, err
	}
	if s.d.current() == nil {
		return session.Attachment{}, false, err
	}
	got, err := a.Attach(ctx, id, spec.Name, att, wishedService(spec))
	return got, true, err
}

// detach gives endpoints on the cluster's networks back. When no manager answers, the agent does so later.
func (s *localServer) detach(ctx context.Context, a *agent.Agent, id swarmnet.TaskID, network swarmnet.NetworkID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := a.Detach(ctx, id, network); err != nil {
		s.d.log.Warn("the managers still hold addresses of a sandbox", "sandbox", swarmnet.ShortID(id), "err", err)
	}
}

// start starts a sandbox and returns when its process runs, or with the reason why it cannot.
func (s *localServer) start(ctx context.Context, ref string) error {
	env, _, err := s.d.env(ctx)
	if err != nil {
		return err
	}
	// Who has a port is found out before the step: what gives one back waits for the step.
	answers := map[swarmnet.PortSpec]string{}
	ask := env.Busy
	env.Busy = func(p swarmnet.PortSpec) string {
		answers[p] = ask(p)
		return answers[p]
	}
	if _, _, err := s.d.local.Read().Start(ref, env); err != nil {
		return refusal(err)
	}
	env.Busy = func(p swarmnet.PortSpec) string { return answers[p] }
	var sb local.Sandbox
	_, err = s.d.local.Step(func(st local.State) (next local.State, err error) {
		next, sb, err = st.Start(ref, env)
		return next, err
	})
	if err != nil {
		return refusal(err)
	}
	state, err := s.d.local.Await(ctx, func(st local.State) bool {
		now, there := st.Sandboxes[sb.ID]
		return !there || now.Run != sb.Run || now.State == swarmnet.SandboxRunning || now.Status.State.Terminal()
	})
	if err != nil {
		return err
	}
	switch now, there := state.Sandboxes[sb.ID]; {
	case !there:
		return status.Errorf(codes.Aborted, "sandbox %s was removed meanwhile", sb.Spec.Name)
	case now.Status.State == swarmnet.TaskRejected && now.Run == sb.Run:
		return status.Error(codes.FailedPrecondition, now.Status.Err)
	}
	return nil
}

func (s *localServer) StartSandbox(ctx context.Context, req *pb.ObjectRef) (*pb.Sandbox, error) {
	if err := s.ownOnly(ctx, req.GetRef()); err != nil {
		return nil, err
	}
	if err := s.rejoin(ctx, req.GetRef()); err != nil {
		return nil, err
	}
	if err := s.start(ctx, req.GetRef()); err != nil {
		return nil, err
	}
	return s.get(ctx, req.GetRef())
}

func (s *localServer) StopSandbox(ctx context.Context, req *pb.StopSandboxRequest) (*pb.Sandbox, error) {
	if err := s.ownOnly(ctx, req.GetRef()); err != nil {
		return nil, err
	}
	grace, err := stopGrace(req)
	if err != nil {
		return nil, err
	}
	s.drain(ctx, req.GetRef())
	var sb local.Sandbox
	_, err = s.d.local.Step(func(st local.State) (next local.State, err error) {
		next, sb, err = st.Stop(req.GetRef(), req.GetSignal(), grace)
		return next, err
	})
	if err != nil {
		return nil, refusal(err)
	}
	if err := s.await(ctx, sb.ID, func(now local.Sandbox) bool { return !now.Active() || now.Wanted }); err != nil {
		return nil, err
	}
	s.awaitFreed(ctx, sb)
	return s.get(ctx, string(sb.ID))
}

// freedTimeout bounds how long the ports of a stopped sandbox are waited for: it is stopped all the same.
const freedTimeout = 2 * time.Second

// awaitFreed returns when anybody may have the ports that a sandbox had.
func (s *localServer) awaitFreed(ctx context.Context, was local.Sandbox) {
	ctx, cancel := context.WithTimeout(ctx, freedTimeout)
	defer cancel()
	a, err := s.d.awaitAgent(ctx)
	if now, there := s.d.local.Read().Sandboxes[was.ID]; err == nil && (!there || len(now.Ports) == 0) {
		a.Freed(ctx, was.Ports)
	}
}

// await returns when ok holds for a sandbox or it is gone.
func (s *localServer) await(ctx context.Context, id swarmnet.TaskID, ok func(local.Sandbox) bool) error {
	_, err := s.d.local.Await(ctx, func(st local.State) bool {
		sb, there := st.Sandboxes[id]
		return !there || ok(sb)
	})
	return err
}

func (s *localServer) WaitSandbox(ctx context.Context, req *pb.ObjectRef) (*pb.Sandbox, error) {
	if err := s.ownOnly(ctx, req.GetRef()); err != nil {
		return nil, err
	}
	sb, err := s.d.local.Read().Sandbox(req.GetRef())
	if err != nil {
		return nil, refusal(err)
	}
	var last local.Sandbox
	err = s.await(ctx, sb.ID, func(now local.Sandbox) bool {
		last = now
		return !now.Active() || now.State == swarmnet.SandboxRestarting
	})
	if err != nil {
		return nil, err
	}
	return sandboxToProto(last.Sandbox), nil
}

func (s *localServer) RemoveSandbox(ctx context.Context, req *pb.RemoveSandboxRequest) (*pb.RemoveSandboxResponse, error) {
	if err := s.ownOnly(ctx, req.GetRef()); err != nil {
		return nil, err
	}
	a, err := s.d.awaitAgent(ctx)
	if err != nil {
		return nil, err
	}
	if !req.GetForce() {
		if _, _, err := s.d.local.Read().RemoveSandbox(req.GetRef(), false); err != nil {
			return nil, refusal(err)
		}
	}
	return &pb.RemoveSandboxResponse{}, s.removeNow(ctx, a, req.GetRef())
}

// removeNow returns when nothing of the sandbox is left.
func (s *localServer) removeNow(ctx context.Context, a *agent.Agent, ref string) error {
	s.drain(ctx, ref)
	var sb local.Sandbox
	_, err := s.d.local.Step(func(st local.State) (next local.State, err error) {
		next, sb, err = st.RemoveSandbox(ref, true)
		return next, err
	})
	if err != nil {
		return refusal(err)
	}
	if err := s.await(ctx, sb.ID, func(local.Sandbox) bool { return false }); err != nil {
		return err
	}
	s.awaitFreed(ctx, sb)
	for _, att := range sb.Spec.Networks {
		if _, own := s.d.local.Read().Networks[att.Network]; !own {
			s.detach(ctx, a, sb.ID, "")
			break
		}
	}
	return nil
}

func (s *localServer) ConnectNetwork(ctx context.Context, req *pb.ConnectNetworkRequest) (*pb.Sandbox, error) {
	att, err := wire.NetworkAttachmentFromProto(req.GetAttachment())
	if err != nil {
		return nil, badRequest(err)
	}
	if task, a, err := s.task(ctx, req.GetSandbox()); err != nil || a != nil {
		return s.connectTask(ctx, a, task, att, err)
	}
	env, a, err := s.d.env(ctx)
	if err != nil {
		return nil, err
	}
	sb, err := s.d.local.Read().Sandbox(req.GetSandbox())
	if err != nil {
		return nil, refusal(err)
	}
	got, foreign, err := s.attach(ctx, a, sb.ID, sb.Spec, att)
	if err != nil {
		return nil, refusal(err)
	}
	if foreign {
		att.Network = got.Network.ID
		env.Cluster = append(env.Cluster, got.Network)
	}
	_, err = s.d.local.Step(func(st local.State) (next local.State, err error) {
		next, sb, err = st.Connect(string(sb.ID), att, env)
		return next, err
	})
	if err != nil {
		if _, had := sb.Interfaces[att.Network]; foreign && !had {
			s.detach(ctx, a, sb.ID, got.Network.ID)
		}
		return nil, refusal(err)
	}
	if err := settle(ctx, a, sb.ID, env.Now); err != nil {
		var refused *driver.Refusal
		if errors.As(err, &refused) {
			return nil, s.undoConnect(context.WithoutCancel(ctx), a, sb, string(att.Network), refused)
		}
		return nil, err
	}
	return s.get(ctx, string(sb.ID))
}

// undoConnect takes a sandbox off a network again whose driver refused it, and returns the refusal.
func (s *localServer) undoConnect(ctx context.Context, a *agent.Agent, sb local.Sandbox, network string, refused error) error {
	env, _, err := s.d.env(ctx)
	if err == nil {
		_, err = s.d.local.Step(func(st local.State) (next local.State, err error) {
			next, _, err = st.Disconnect(string(sb.ID), network, env)
			return next, err
		})
	}
	if err == nil {
		err = settle(ctx, a, sb.ID, env.Now)
	}
	if err != nil {
		s.d.log.Warn("a connection that was refused cannot be undone", "sandbox", sb.Spec.Name, "err", err)
	}
	return status.Error(codes.FailedPrecondition, refused.Error())
}

// settleTimeout bounds how long a change of networks may take; it goes on in the background afterwards.
const settleTimeout = 20 * time.Second

func settle(ctx context.Context, a *agent.Agent, id swarmnet.TaskID, since time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	err := a.Settled(ctx, id, since)
	var refused *driver.Refusal
	if errors.As(err, &refused) {
		return refused
	}
	if err != nil {
		return status.Errorf(codes.DeadlineExceeded, "the change is noted, but is not in force after %s: see the daemon's log", settleTimeout)
	}
	return nil
}

func (s *localServer) DisconnectNetwork(ctx context.Context, req *pb.DisconnectNetworkRequest) (*pb.Sandbox, error) {
	if task, a, err := s.task(ctx, req.GetSandbox()); err != nil || a != nil {
		return s.disconnectTask(ctx, a, task, req.GetNetwork(), err)
	}
	env, a, err := s.d.env(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := s.d.local.Read().Network(req.GetNetwork()); err != nil { // not the node's own: it may be its service's
		s.drain(ctx, req.GetSandbox())
	}
	var was, sb local.Sandbox
	_, err = s.d.local.Step(func(st local.State) (next local.State, err error) {
		was, _ = st.Sandbox(req.GetSandbox())
		next, sb, err = st.Disconnect(req.GetSandbox(), req.GetNetwork(), env)
		return next, err
	})
	if err != nil {
		return nil, refusal(err)
	}
	if err := settle(ctx, a, sb.ID, env.Now); err != nil {
		return nil, err
	}
	for id := range was.Interfaces {
		_, own := s.d.local.Read().Networks[id]
		if _, still := sb.Interfaces[id]; !own && !still {
			s.detach(ctx, a, sb.ID, id)
		}
	}
	return s.get(ctx, string(sb.ID))
}
