package state

import (
	"slices"
	"testing"

	"github.com/swarmnet/swarmnet"
)

func TestS15PortsThatANodeCannotPublish(t *testing.T) {
	s := populated(t)
	at := func(cmds ...Command) { s = apply(t, s, cmds...) }
	node := id[swarmnet.NodeID]("n2")
	bad := []swarmnet.DegradedPort{{Published: 80, Why: "port 80/tcp is held by nginx (pid 7)"}}
	is := func(what string, want []swarmnet.DegradedPort) {
		t.Helper()
		if n, _ := s.Node(node); !slices.Equal(n.Degraded, want) {
			t.Errorf("%s: %v, want %v", what, n.Degraded, want)
		}
	}
	at(ReportPorts{node, 1, bad})
	is("reported", bad)
	at(OpenSession{Node: node, Manager: node})
	is("in another session of the same start", bad)
	at(ReportPorts{node, 0, nil})
	is("after a report of an earlier start", bad)
	at(ReportPorts{node, 1, nil})
	is("free again", nil)
	at(ReportPorts{node, 1, bad}, OpenSession{Node: node, Manager: node, NewEpoch: true})
	is("after a new start", nil)
}
