package raftnode

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	pb "go.etcd.io/raft/v3/raftpb"
)

// TestScripts runs the sessions in testdata. Run with -rewrite to write the outputs anew.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &script{g: newGroup(t), waiting: map[string]*proposal{}}
		datadriven.RunTest(t, path, s.run)
	})
}

type script struct {
	g       *group
	waiting map[string]*proposal
	reads   []chan error
	order   []string
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	g := s.g
	var args []string
	for _, a := range d.CmdArgs {
		args = append(args, a.Key)
	}
	id := func(i int) uint64 {
		n, err := strconv.ParseUint(args[i], 10, 64)
		if err != nil || i > 0 && g.nodes[n] == nil {
			d.Fatalf(t, "no node %q", args[i])
		}
		return n
	}
	switch d.Cmd {
	case "snapshot-every":
		g.every = id(0)
	case "bootstrap":
		if err := g.start(id(0), true); err != nil {
			return err.Error()
		}
		g.stabilize()
	case "grow":
		g.grow(id(0))
	case "start":
		if err := g.start(id(0), false); err != nil {
			return err.Error()
		}
		g.stabilize()
	case "crash":
		for i := range args {
			g.crash(id(i), nil)
		}
	case "kill":
		m := g.nodes[id(0)]
		m.node.stop(ErrStopped)
		m.fs, m.node = m.fs.Kill(), nil
	case "partition": // the named ones on one side
		side := map[uint64]bool{}
		for i := range args {
			side[id(i)] = true
		}
		g.cut = func(a, b uint64) bool { return side[a] != side[b] }
	case "heal":
		g.cut = func(_, _ uint64) bool { return false }
	case "elect":
		g.elect(id(0))
	case "tick":
		g.tick(int(id(0)))
	case "stabilize":
		g.stabilize()
	case "propose":
		for _, data := range args[1:] {
			s.waiting[data] = g.propose(id(0), data)
			s.order = append(s.order, data)
		}
		return ""
	case "propose-many": // node, count
		n, _ := strconv.Atoi(args[1])
		for i := range n {
			g.propose(id(0), fmt.Sprintf("x%d", i))
		}
	case "change": // node, verb, member
		verbs := map[string]pb.ConfChangeType{"add": pb.ConfChangeAddLearnerNode, "promote": pb.ConfChangeAddNode, "remove": pb.ConfChangeRemoveNode}
		member, _ := strconv.ParseUint(args[2], 10, 64)
		key := args[1] + args[2]
		s.waiting[key] = g.change(id(0), verbs[args[1]], peer(member))
		s.order = append(s.order, key)
	case "read":
		_ = g.nodes[id(0)].node.with(func(c *core) error { s.reads = append(s.reads, c.reads.add()); return nil })
	case "reads":
		var out []string
		var waiting []chan error
		for _, r := range s.reads {
			select {
			case err := <-r:
				out = append(out, fmt.Sprintf("done %v", err))
			default:
				out = append(out, "waits")
				waiting = append(waiting, r)
			}
		}
		s.reads = waiting
		return strings.Join(out, "\n")
	case "fill": // node: its disk takes no more
		fs := g.nodes[id(0)].fs
		fs.SetCapacity(fs.Used())
	case "room":
		g.nodes[id(0)].fs.SetCapacity(0)
	case "files":
		names, _ := g.nodes[id(0)].fs.List("raft/" + args[1])
		return strings.Join(slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(n, "head") }), "\n")
	case "answers":
		var out []string
		for _, k := range s.order {
			out = append(out, k+": "+s.waiting[k].answer())
		}
		s.order = nil
		return strings.Join(out, "\n")
	case "leads": // node: whether it does
		return fmt.Sprint(g.nodes[id(0)].node.Status().IsLeader)
	case "status": // show, without the state
		var out []string
		for _, id := range g.ids() {
			m := g.nodes[id]
			if m.node == nil {
				out = append(out, g.describe(id))
				continue
			}
			st := m.node.Status()
			out = append(out, fmt.Sprintf("%d: leader %v, %d items, disk full %v", id, st.Leader != 0, len(m.state.Items), st.DiskFull))
		}
		return strings.Join(out, "\n")
	case "show":
		var out []string
		for _, id := range g.ids() {
			out = append(out, g.describe(id))
		}
		return strings.Join(out, "\n")
	default:
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
	return ""
}
