package agent

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor"
)

const (
	// settleFor is how long a started task without a health check may take to open the ports that it publishes before it is given
	// connections all the same.
	settleFor = time.Second
	// settleLook is how often its sockets are looked at meanwhile.
	settleLook = 10 * time.Millisecond
)

// settling reports whether a workload has just been started and does not listen yet on the ports that its service publishes: connections
// that it would refuse go to others. It is observed, not tried: no connection is made.
func (r *runner) settling(want desired.Task, w executor.Status) bool {
	if want.Spec.Health != nil || len(want.Expected) == 0 || w.Phase != executor.Running || want.Status.State >= swarmnet.TaskRunning {
		return false
	}
	if time.Since(w.StartedAt) >= settleFor || listensOnAll(w.PID, want.Expected) {
		return false
	}
	time.AfterFunc(settleLook, r.poke)
	return true
}

// listensOnAll reports whether the network namespace of a process has a socket for each port. What cannot be looked up has none: the
// process is gone, more likely than not, and nobody has noticed yet.
func listensOnAll(pid int, ports []swarmnet.PortSpec) bool {
	for _, p := range ports {
		if p.Protocol != swarmnet.SCTP && !listens(pid, p.Protocol, p.Target) {
			return false
		}
	}
	return true
}

// listens looks through /proc/PID/net/{tcp,udp}{,6} (proc_net_tcp in the kernel's documentation): a local port in hex, and for TCP the
// state 0A, which is LISTEN.
func listens(pid int, proto swarmnet.Protocol, port uint16) bool {
	for _, family := range []string{"", "6"} {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/net/" + proto.String() + family)
		if err != nil {
			continue
		}
		suffix := fmt.Appendf(nil, ":%04X", port)
		for line := range bytes.Lines(b) {
			f := bytes.Fields(line)
			if len(f) > 3 && bytes.HasSuffix(f[1], suffix) && (proto == swarmnet.UDP || string(f[3]) == "0A") {
				return true
			}
		}
	}
	return false
}
