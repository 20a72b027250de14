package wire

import (
	"math"
	"net/netip"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

func TaskStateToProto(s swarmnet.TaskState) pb.TaskState { return enumTo[pb.TaskState](s) }

func (d *decoder) taskState(m pb.TaskState) swarmnet.TaskState {
	return enumFrom(d, "task state", m, swarmnet.TaskOrphaned)
}

func (d *decoder) desired(m pb.DesiredState) swarmnet.DesiredState {
	return enumFrom(d, "desired state", m, swarmnet.DesireRemove)
}

func TaskSpecToProto(s swarmnet.TaskSpec) *pb.TaskSpec {
	m := &pb.TaskSpec{
		Command: words(s.Command), Env: words(s.Env), Dir: s.Dir, Hostname: s.Hostname, Labels: labels(s.Labels),
		Dns: &pb.DNSConfig{Servers: each(s.DNS.Servers, addrTo), Search: words(s.DNS.Search), Options: words(s.DNS.Options)},
		Hosts: each(s.Hosts, func(h swarmnet.HostEntry) *pb.HostEntry {
			return &pb.HostEntry{Name: h.Name, Addr: addrTo(h.Addr)}
		}),
		Restart: &pb.RestartPolicy{
			Condition: enumTo[pb.RestartCondition](s.Restart.Condition), Delay: durationTo(s.Restart.Delay),
			MaxAttempts: s.Restart.MaxAttempts, Window: durationTo(s.Restart.Window),
		},
		Placement:  &pb.Placement{Constraints: words(s.Placement.Constraints), MaxPerNode: s.Placement.MaxPerNode},
		StopSignal: s.StopSignal, StopGracePeriod: durationTo(s.StopGracePeriod), ForceUpdate: s.ForceUpdate,
		User: text(s.User), Stdin: s.Stdin, Tty: s.TTY,
	}
	if h := s.Health; h != nil {
		m.Health = &pb.HealthCheck{
			Command: words(h.Command), TcpPort: uint32(h.TCPPort), Interval: durationTo(h.Interval),
			Timeout: durationTo(h.Timeout), Retries: h.Retries, StartPeriod: durationTo(h.StartPeriod),
		}
	}
	return m
}

func (d *decoder) dns(m *pb.DNSConfig) swarmnet.DNSConfig {
	return swarmnet.DNSConfig{
		Servers: each(m.GetServers(), func(b []byte) netip.Addr { return d.addr("dns.servers", b) }),
		Search:  words(m.GetSearch()), Options: words(m.GetOptions()),
	}
}

func TaskSpecFromProto(m *pb.TaskSpec) (swarmnet.TaskSpec, error) {
	return decode((*decoder).taskSpec, m)
}

func (d *decoder) taskSpec(m *pb.TaskSpec) swarmnet.TaskSpec {
	s := swarmnet.TaskSpec{
		Command: words(m.GetCommand()), Env: words(m.GetEnv()), Dir: m.GetDir(), Hostname: m.GetHostname(), Labels: labels(m.GetLabels()),
		DNS: d.dns(m.GetDns()),
		Hosts: each(m.GetHosts(), func(h *pb.HostEntry) swarmnet.HostEntry {
			return swarmnet.HostEntry{Name: h.GetName(), Addr: d.addr("hosts.addr", h.GetAddr())}
		}),
		Restart: swarmnet.RestartPolicy{
			Condition:   enumFrom(d, "restart condition", m.GetRestart().GetCondition(), swarmnet.RestartNone),
			Delay:       d.duration("restart.delay", m.GetRestart().GetDelay()),
			MaxAttempts: m.GetRestart().GetMaxAttempts(), Window: d.duration("restart.window", m.GetRestart().GetWindow()),
		},
		Placement: swarmnet.Placement{
			Constraints: words(m.GetPlacement().GetConstraints()), MaxPerNode: m.GetPlacement().GetMaxPerNode(),
		},
		StopSignal: m.GetStopSignal(), StopGracePeriod: d.duration("stop_grace_period", m.GetStopGracePeriod()), ForceUpdate: m.GetForceUpdate(),
		User: m.GetUser(), Stdin: m.GetStdin(), TTY: m.GetTty(),
	}
	if h := m.GetHealth(); h != nil {
		s.Health = &swarmnet.HealthCheck{
			Command: words(h.GetCommand()), TCPPort: d.port("health.tcp_port", h.GetTcpPort()),
			Interval: d.duration("health.interval", h.GetInterval()), Timeout: d.duration("health.timeout", h.GetTimeout()),
			Retries: h.GetRetries(), StartPeriod: d.duration("health.start_period", h.GetStartPeriod()),
		}
	}
	return s
}

func TaskStatusToProto(s swarmnet.TaskStatus) *pb.TaskStatus {
	return &pb.TaskStatus{
		State: TaskStateToProto(s.State), At: timeTo(s.At), Message: text(s.Message), Err: text(s.Err),
		ExitCode: int32(min(max(s.ExitCode, math.MinInt32), math.MaxInt32)), Pid: int32(min(max(s.PID, 0), math.MaxInt32)),
	}
}

func TaskStatusFromProto(m *pb.TaskStatus) (swarmnet.TaskStatus, error) {
	return decode((*decoder).taskStatus, m)
}

func (d *decoder) taskStatus(m *pb.TaskStatus) swarmnet.TaskStatus {
	return swarmnet.TaskStatus{
		State: d.taskState(m.GetState()), At: d.time("status.at", m.GetAt()), Message: m.GetMessage(), Err: m.GetErr(),
		ExitCode: int(m.GetExitCode()), PID: int(m.GetPid()),
	}
}

func TaskToProto(t swarmnet.Task) *pb.Task {
	return &pb.Task{
		Id: string(t.ID), Meta: metaTo(t.Meta), Service: string(t.Service), ServiceName: t.ServiceName, Slot: t.Slot,
		Node: string(t.Node), Spec: TaskSpecToProto(t.Spec), SpecVersion: t.SpecVersion,
		Networks: each(t.Networks, attachmentTo), Connected: each(t.Connected, attachmentTo), Ports: each(t.Ports, portTo),
		Desired: enumTo[pb.DesiredState](t.Desired), Status: TaskStatusToProto(t.Status), NotBefore: timeTo(t.NotBefore),
		Balanced: t.Balanced, BalancedAt: timeTo(t.BalancedAt), Note: text(t.Note), Member: string(t.Member),
	}
}

func TaskFromProto(m *pb.Task) (swarmnet.Task, error) { return decode((*decoder).task, m) }

func (d *decoder) task(m *pb.Task) swarmnet.Task {
	return swarmnet.Task{
		ID: swarmnet.TaskID(m.GetId()), Meta: d.meta(m.GetMeta()), Service: swarmnet.ServiceID(m.GetService()),
		ServiceName: m.GetServiceName(), Slot: m.GetSlot(), Node: swarmnet.NodeID(m.GetNode()),
		Spec: d.taskSpec(m.GetSpec()), SpecVersion: m.GetSpecVersion(),
		Networks: decodeEach(d, m.GetNetworks(), (*decoder).attachment), Connected: decodeEach(d, m.GetConnected(), (*decoder).attachment),
		Ports: decodeEach(d, m.GetPorts(), (*decoder).portSpec), Desired: d.desired(m.GetDesired()), Status: d.taskStatus(m.GetStatus()), NotBefore: d.time("task.not_before", m.GetNotBefore()),
		Balanced: m.GetBalanced(), BalancedAt: d.time("task.balanced_at", m.GetBalancedAt()), Note: m.GetNote(), Member: swarmnet.ServiceID(m.GetMember()),
	}
}
