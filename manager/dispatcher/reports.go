package dispatcher

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/manager/state"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// reports gathers what a node says of its tasks and ports and proposes it, all that has come meanwhile as one batch.
type reports struct {
	backend   Backend
	node      swarmnet.NodeID
	epoch     uint64
	committed chan uint64 // how many messages are committed; holds the newest number

	mu      sync.Mutex
	pending []state.Command
	taken   uint64 // messages of statuses whose reports are in pending or gone before
	wake    chan struct{}
}

func newReports(b Backend, node swarmnet.NodeID, epoch uint64) *reports {
	return &reports{backend: b, node: node, epoch: epoch, committed: make(chan uint64, 1), wake: make(chan struct{}, 1)}
}

// add takes a message's reports. The agent is cut off when it reports faster than can be committed: it will repeat.
func (r *reports) add(m *pb.TaskStatuses) error {
	batch := make([]state.Command, 0, len(m.GetUpdates()))
	for _, u := range m.GetUpdates() {
		st, err := wire.TaskStatusFromProto(u.GetStatus())
		if err != nil {
			return status.Errorf(codes.InvalidArgument, "the status of task %s is malformed: %v", u.GetTask(), err)
		}
		if u.GetTask() == "" || u.GetStatus().GetState() == pb.TaskState_TASK_STATE_UNSPECIFIED {
			return status.Error(codes.InvalidArgument, "a status report names no task or no state")
		}
		batch = append(batch, state.UpdateTaskStatus{Task: swarmnet.TaskID(u.GetTask()), Status: st, Node: r.node, Epoch: r.epoch})
	}
	return r.put(batch, 1)
}

// ports takes what the node says of its published ports.
func (r *reports) ports(m *pb.DegradedPorts) error {
	ports, err := wire.DegradedPortsFromProto(m.GetPorts())
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "the report of degraded ports is malformed: %v", err)
	}
	if n, ok := r.backend.View().Node(r.node); ok && slices.Equal(n.Degraded, ports) {
		return nil // as each new stream begins
	}
	return r.put([]state.Command{state.ReportPorts{Node: r.node, Epoch: r.epoch, Ports: ports}}, 0)
}

func (r *reports) put(batch []state.Command, messages uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pending)+len(batch) > maxPending {
		return status.Error(codes.ResourceExhausted, "too many status reports wait to be committed: open a new session and report again")
	}
	r.pending = append(r.pending, batch...)
	r.taken += messages
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return nil
}

func (r *reports) take() ([]state.Command, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.pending
	r.pending = nil
	return out, r.taken
}

// run proposes until ctx ends; without a quorum it tries again.
func (r *reports) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
		batch, count := r.take()
		for len(batch) > 0 {
			if r.propose(ctx, batch) == nil {
				break
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(200 * time.Millisecond):
			}
		}
		select {
		case <-r.committed: // not told yet: the newer number replaces it
		default:
		}
		r.committed <- count
	}
}

func (r *reports) propose(ctx context.Context, batch []state.Command) error {
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	// A report that the state refuses (an unknown task, another node's) is answered: repeating it would not help.
	_, err := r.backend.Propose(ctx, "node:"+string(r.node), batch...)
	return err
}
