package swarmnet

import (
	"fmt"
	"strings"
)

// enum is the set of names of an enumerated type: index = value.
type enum []string

func (e enum) name(v int) string {
	if v < len(e) {
		return e[v]
	}
	return fmt.Sprintf("unknown(%d)", v)
}

func parseEnum[T ~uint8](e enum, what, s string) (T, error) {
	for i, n := range e {
		if strings.EqualFold(n, s) {
			return T(i), nil
		}
	}
	return 0, fmt.Errorf("%q is not a %s: one of %s is wanted", s, what, strings.Join(e, ", "))
}

var (
	roleNames          = enum{"worker", "manager"}
	availabilityNames  = enum{"active", "pause", "drain"}
	nodeStateNames     = enum{"unknown", "ready", "disconnected", "down"}
	serviceModeNames   = enum{"replicated", "global", "external"}
	endpointModeNames  = enum{"vip", "dnsrr"}
	protocolNames      = enum{"tcp", "udp", "sctp"}
	publishModeNames   = enum{"ingress", "host"}
	updateOrderNames   = enum{"stop-first", "start-first"}
	failureActionNames = enum{"pause", "continue", "rollback"}
	updateStateNames   = enum{"", "updating", "paused", "completed", "rollback_started", "rollback_paused", "rollback_completed"}
	taskStateNames     = enum{"new", "pending", "assigned", "preparing", "starting", "running", "complete", "shutdown", "failed", "rejected", "orphaned"}
	desiredStateNames  = enum{"ready", "running", "draining", "shutdown", "remove"}
	restartNames       = enum{"any", "on-failure", "none"}
	networkModeNames   = enum{"networks", "none", "host", "container"}
	sandboxStateNames  = enum{"created", "running", "restarting", "exited"}
)

func (v Role) String() string             { return roleNames.name(int(v)) }
func (v Availability) String() string     { return availabilityNames.name(int(v)) }
func (v NodeState) String() string        { return nodeStateNames.name(int(v)) }
func (v ServiceMode) String() string      { return serviceModeNames.name(int(v)) }
func (v EndpointMode) String() string     { return endpointModeNames.name(int(v)) }
func (v Protocol) String() string         { return protocolNames.name(int(v)) }
func (v PublishMode) String() string      { return publishModeNames.name(int(v)) }
func (v UpdateOrder) String() string      { return updateOrderNames.name(int(v)) }
func (v FailureAction) String() string    { return failureActionNames.name(int(v)) }
func (v UpdateState) String() string      { return updateStateNames.name(int(v)) }
func (v TaskState) String() string        { return taskStateNames.name(int(v)) }
func (v DesiredState) String() string     { return desiredStateNames.name(int(v)) }
func (v RestartCondition) String() string { return restartNames.name(int(v)) }
func (v NetworkMode) String() string      { return networkModeNames.name(int(v)) }
func (v SandboxState) String() string     { return sandboxStateNames.name(int(v)) }

func ParseRole(s string) (Role, error) { return parseEnum[Role](roleNames, "role", s) }

func ParseAvailability(s string) (Availability, error) {
	return parseEnum[Availability](availabilityNames, "availability", s)
}

func ParseServiceMode(s string) (ServiceMode, error) {
	return parseEnum[ServiceMode](serviceModeNames, "service mode", s)
}

func ParseEndpointMode(s string) (EndpointMode, error) {
	return parseEnum[EndpointMode](endpointModeNames, "endpoint mode", s)
}

func ParseProtocol(s string) (Protocol, error) {
	return parseEnum[Protocol](protocolNames, "protocol", s)
}

func ParsePublishMode(s string) (PublishMode, error) {
	return parseEnum[PublishMode](publishModeNames, "publish mode", s)
}

func ParseUpdateOrder(s string) (UpdateOrder, error) {
	return parseEnum[UpdateOrder](updateOrderNames, "update order", s)
}

func ParseFailureAction(s string) (FailureAction, error) {
	return parseEnum[FailureAction](failureActionNames, "failure action", s)
}

func ParseTaskState(s string) (TaskState, error) {
	return parseEnum[TaskState](taskStateNames, "task state", s)
}

func ParseRestartCondition(s string) (RestartCondition, error) {
	return parseEnum[RestartCondition](restartNames, "restart condition", s)
}
