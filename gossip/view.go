package gossip

import "github.com/swarmnet/swarmnet"

// EndpointState is what the owner of an endpoint says of it.
type EndpointState uint8

const (
	EndpointUnknown  EndpointState = iota // no row
	EndpointUp                            // exists, not yet ready for connections
	EndpointReady                         // takes connections
	EndpointDraining                      // takes no new connections
)

// Liveness is what the membership says of a node.
type Liveness uint8

const (
	LivenessUnknown Liveness = iota // never heard of
	Alive
	Suspect
	Dead
)

// View is one consistent reading of the gossip tables and the membership. It is immutable.
type View struct {
	Endpoints map[swarmnet.EndpointID]EndpointRow
	Nodes     map[swarmnet.NodeID]Liveness
	// claims are rows about endpoints that another owner's row in Endpoints is about, too. One of the owners lies, or
	// has not heard yet that it lost the endpoint; Row finds the one that counts.
	claims map[swarmnet.EndpointID][]EndpointRow
}

// Row returns what owner says of an endpoint.
func (v View) Row(id swarmnet.EndpointID, owner swarmnet.NodeID) (EndpointRow, bool) {
	row, ok := v.Endpoints[id]
	if !ok || row.Owner == owner {
		return row, ok
	}
	for _, row := range v.claims[id] {
		if row.Owner == owner {
			return row, true
		}
	}
	return EndpointRow{}, false
}

// EndpointRow is the row that an endpoint's owner published.
type EndpointRow struct {
	Network swarmnet.NetworkID
	Owner   swarmnet.NodeID
	State   EndpointState
}
