package lab

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

const askTimeout = 40 * time.Second

func (l *Lab) supervisor(op, node string) error {
	_, err := ask(supervisorSocket(l.dir), request{Op: op, Node: node}, askTimeout)
	return err
}

// Kill cuts a node's power: its daemon and workloads end at once.
func (l *Lab) Kill(node string) error { return l.supervisor("kill", node) }

// Cut cuts a node's underlay link; the node is not told.
func (l *Lab) Cut(node string) error { return l.supervisor("cut", node) }

// Narrow has a node's underlay link lose what is larger than mtu octets, in both directions and without a word; DefaultMTU undoes it, and so does
// the node's next boot.
func (l *Lab) Narrow(node string, mtu int) error {
	if mtu < 576 || mtu > DefaultMTU {
		return fmt.Errorf("a link of %d octets is not possible: from 576 to %d are", mtu, DefaultMTU)
	}
	nodes, err := l.Nodes()
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if !n.On {
			continue
		}
		if _, err := ask(nodeSocket(l.dir, n.Name), request{Op: "segment"}, askTimeout); err != nil {
			return err
		}
	}
	_, err = ask(supervisorSocket(l.dir), request{Op: "narrow", Node: node, MTU: mtu}, askTimeout)
	return err
}

// DefaultMTU is what the links of the underlay take, in octets.
const DefaultMTU = underlayMTU

// Heal mends a node's underlay link; no node named: all of them.
func (l *Lab) Heal(node string) error {
	if node != "" {
		return l.supervisor("heal", node)
	}
	nodes, err := l.Nodes()
	for _, n := range nodes {
		if err == nil && n.Cut {
			err = l.supervisor("heal", n.Name)
		}
	}
	return err
}

// Stop ends a node's daemon, its workloads live on: by SIGTERM, or with kill by SIGKILL.
func (l *Lab) Stop(node string, kill bool) error {
	sig := syscall.SIGTERM
	if kill {
		sig = syscall.SIGKILL
	}
	_, err := l.init(node, request{Op: "daemon-stop", Signal: sig})
	return err
}

// Start boots a node that is off, on the data that it had, and starts its daemon if it does not run.
func (l *Lab) Start(ctx context.Context, node string, daemonArgs ...string) error {
	st, err := l.node(node)
	if err != nil {
		return err
	}
	if st.On && (node == Outside || st.Daemon.PID != 0) {
		return fmt.Errorf("%s is up already", node)
	}
	if !st.On {
		if err := l.supervisor("boot", node); err != nil {
			return err
		}
	}
	if node == Outside {
		return nil
	}
	if len(daemonArgs) == 0 {
		daemonArgs = l.rec.DaemonArgs
	}
	return l.startDaemon(ctx, node, daemonArgs)
}

func (l *Lab) startDaemon(ctx context.Context, node string, args []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := l.init(node, request{Op: "daemon-start", Args: args})
	return err
}

// init asks a node's pid 1.
func (l *Lab) init(node string, q request) (reply, error) {
	if _, err := nodeIndex(node); err != nil {
		return reply{}, err
	}
	if node == Outside {
		return reply{}, fmt.Errorf("%s runs no daemon", node)
	}
	r, err := ask(nodeSocket(l.dir, node), q, askTimeout)
	if err != nil && r.Err == "" {
		return r, l.explainOff(node, err)
	}
	return r, err
}

// explainOff says why a node did not answer.
func (l *Lab) explainOff(node string, err error) error {
	st, serr := l.node(node)
	switch {
	case serr != nil:
		return serr
	case !st.On:
		return fmt.Errorf("%s is off: `%s` boots it", node, CommandLine(l.Name, "start "+node))
	}
	return fmt.Errorf("%s does not answer: %w", node, err)
}

// Nodes lists the lab's nodes with their state.
func (l *Lab) Nodes() ([]NodeStatus, error) {
	r, err := ask(supervisorSocket(l.dir), request{Op: "status"}, askTimeout)
	if err != nil {
		return nil, err
	}
	for i, n := range r.Nodes {
		if !n.On || n.Name == Outside {
			continue
		}
		if a, err := ask(nodeSocket(l.dir, n.Name), request{Op: "daemon-status"}, askTimeout); err == nil {
			r.Nodes[i].Daemon = a.Daemon
		}
	}
	return r.Nodes, nil
}

func (l *Lab) node(name string) (NodeStatus, error) {
	if _, err := nodeIndex(name); err != nil {
		return NodeStatus{}, err
	}
	r, err := ask(supervisorSocket(l.dir), request{Op: "status"}, askTimeout)
	if err != nil {
		return NodeStatus{}, err
	}
	for _, n := range r.Nodes {
		if n.Name != name {
			continue
		}
		if n.On && name != Outside {
			if a, err := ask(nodeSocket(l.dir, name), request{Op: "daemon-status"}, askTimeout); err == nil {
				n.Daemon = a.Daemon
			}
		}
		return n, nil
	}
	return NodeStatus{}, fmt.Errorf("there is no node %s in the lab %s: `%s` lists them", name, l.Name, CommandLine(l.Name, "status"))
}

// Log returns the path of the log of a node's daemon.
func (l *Lab) Log(node string) string { return daemonLogPath(l.dir, node) }

// Dir is where the lab keeps its files.
func (l *Lab) Dir() string { return l.dir }

// SupervisorPID is the process whose end ends the lab.
func (l *Lab) SupervisorPID() int { return l.rec.PID }
