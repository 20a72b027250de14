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
}

// EndpointRow is the row that an endpoint's owner published.
type EndpointRow struct {
	Network swarmnet.NetworkID
	Owner   swarmnet.NodeID
	State   EndpointState
}
