package daemon

import (
	"context"
	"errors"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor/process"
	"github.com/swarmnet/swarmnet/agent/local"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

func (s *localServer) RestartSandbox(ctx context.Context, req *pb.StopSandboxRequest) (*pb.Sandbox, error) {
	if err := s.ownOnly(ctx, req.GetRef()); err != nil {
		return nil, err
	}
	grace, err := stopGrace(req)
	if err != nil {
		return nil, err
	}
	was, err := s.d.local.Read().Sandbox(req.GetRef())
	if err != nil {
		return nil, refusal(err)
	}
	if !was.Active() {
		return s.StartSandbox(ctx, &pb.ObjectRef{Ref: string(was.ID)})
	}
	env, _, err := s.d.env(ctx)
	if err != nil {
		return nil, err
	}
	env.Busy = nil // it keeps its ports
	s.drain(ctx, string(was.ID))
	_, err = s.d.local.Step(func(st local.State) (next local.State, err error) {
		next, was, err = st.Restart(string(was.ID), req.GetSignal(), grace, env)
		return next, err
	})
	if err != nil {
		return nil, refusal(err)
	}
	err = s.await(ctx, was.ID, func(now local.Sandbox) bool {
		return now.Run > was.Run && (now.State == swarmnet.SandboxRunning || now.Status.State.Terminal()) || now.Run == was.Run && !now.Again
	})
	if err != nil {
		return nil, err
	}
	return s.get(ctx, string(was.ID))
}

// stopGrace checks what a stop asks for; negative: the sandbox's own time.
func stopGrace(req *pb.StopSandboxRequest) (time.Duration, error) {
	if err := process.CheckSignal(req.GetSignal()); err != nil {
		return 0, badRequest(err)
	}
	g := req.GetGrace()
	if g == nil {
		return -1, nil
	}
	if g.CheckValid() != nil || g.AsDuration() < 0 {
		return 0, badRequest(errors.New("the time to wait before the kill cannot be negative"))
	}
	return g.AsDuration(), nil
}

func (s *localServer) SignalSandbox(ctx context.Context, req *pb.SignalSandboxRequest) (*pb.Sandbox, error) {
	if err := process.CheckSignal(req.GetSignal()); err != nil || req.GetSignal() == "" {
		return nil, badRequest(errors.Join(err, errors.New("a signal is wanted")))
	}
	a, err := s.d.awaitAgent(ctx)
	if err != nil {
		return nil, err
	}
	sb, err := s.find(a, req.GetRef())
	if err != nil {
		return nil, err
	}
	if sb.State != swarmnet.SandboxRunning {
		return nil, status.Errorf(codes.FailedPrecondition, "sandbox %s does not run: nobody is there to hear %s", sb.Spec.Name, req.GetSignal())
	}
	if err := s.signal(ctx, sb, req.GetSignal()); err != nil {
		return nil, err
	}
	return s.get(ctx, string(sb.ID))
}

// noteSignal keeps the restart policy from starting again what somebody ends by a signal.
func (s *localServer) noteSignal(sb swarmnet.Sandbox, name string) error {
	if _, own := s.d.local.Read().Sandboxes[sb.ID]; !own {
		return nil
	}
	last := []string{"SIGKILL", "SIGTERM", "SIGINT", "SIGQUIT", sb.Spec.Task.StopSignal}
	_, err := s.d.local.Step(func(st local.State) (next local.State, err error) {
		next, _, err = st.Kill(string(sb.ID), slices.Contains(last, name))
		return next, err
	})
	return err
}

func (s *localServer) RenameSandbox(ctx context.Context, req *pb.RenameSandboxRequest) (*pb.Sandbox, error) {
	if err := s.ownOnly(ctx, req.GetRef()); err != nil {
		return nil, err
	}
	env, _, err := s.d.env(ctx)
	if err != nil {
		return nil, err
	}
	var sb local.Sandbox
	_, err = s.d.local.Step(func(st local.State) (next local.State, err error) {
		next, sb, err = st.Rename(req.GetRef(), req.GetName(), env)
		return next, err
	})
	if err != nil {
		return nil, refusal(err)
	}
	return s.get(ctx, string(sb.ID))
}

func (s *localServer) Top(ctx context.Context, req *pb.ObjectRef) (*pb.TopResponse, error) {
	a, err := s.d.awaitAgent(ctx)
	if err != nil {
		return nil, err
	}
	sb, err := s.find(a, req.GetRef())
	if err != nil {
		return nil, err
	}
	if sb.State != swarmnet.SandboxRunning {
		return nil, notRunning(sb)
	}
	procs, err := a.Processes(sb.ID)
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	resp := &pb.TopResponse{}
	for _, p := range procs {
		name := strconv.FormatUint(uint64(p.UID), 10)
		if u, err := user.LookupId(name); err == nil {
			name = u.Username
		}
		resp.Processes = append(resp.Processes, &pb.Process{
			Pid: int32(p.PID), Parent: int32(p.Parent), User: name, Started: timestamppb.New(p.Started), Cpu: durationpb.New(p.CPU),
			Memory: p.Memory, Command: strings.ToValidUTF8(p.Command, "\uFFFD"),
		})
	}
	return resp, nil
}
