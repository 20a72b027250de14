package gossip

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/swarmnet/swarmnet"
	swarmnetv1 "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// EndpointKey is the key of an endpoint's row.
func EndpointKey(n swarmnet.NetworkID, ep swarmnet.EndpointID) RowKey {
	return RowKey{Network: n, Kind: EndpointKind, Name: string(ep)}
}

// EncodeEndpoint is the value of an endpoint's row.
func EncodeEndpoint(s EndpointState) []byte {
	out, err := proto.Marshal(&swarmnetv1.GossipEndpoint{State: swarmnetv1.GossipEndpointState(s)})
	if err != nil { // an enumeration always encodes
		return nil
	}
	return out
}

// decodeEndpoint reads the value of an endpoint's row. What a newer owner says in words unknown here is EndpointUnknown,
// which lets the managers' word count.
func decodeEndpoint(value []byte) EndpointState {
	var m swarmnetv1.GossipEndpoint
	if err := proto.Unmarshal(value, &m); err != nil || m.GetState() > swarmnetv1.GossipEndpointState(EndpointDraining) || m.GetState() < 0 {
		return EndpointUnknown
	}
	return EndpointState(m.GetState())
}

// View returns what the tables say of endpoints, with the given liveness of nodes. It is O(rows): take one per burst of
// changes, not one per change.
func (t *Table) View(nodes map[swarmnet.NodeID]Liveness) View {
	v := View{Endpoints: map[swarmnet.EndpointID]EndpointRow{}, Nodes: nodes}
	for _, owner := range slices.Sorted(maps.Keys(t.chains)) {
		c := t.chains[owner]
		if len(c.batches) == 1 { // a whole state, as most chains are: no need to fold
			for _, ch := range c.batches[0].Batch.Changes {
				v.add(owner, ch.Key, ch.Value)
			}
			continue
		}
		for k, value := range t.Rows(owner) {
			v.add(owner, k, value)
		}
	}
	return v
}

func (v *View) add(owner swarmnet.NodeID, k RowKey, value []byte) {
	if k.Kind != EndpointKind {
		return
	}
	id, row := swarmnet.EndpointID(k.Name), EndpointRow{Network: k.Network, Owner: owner, State: decodeEndpoint(value)}
	if first, taken := v.Endpoints[id]; taken && first.Owner != owner {
		if v.claims == nil {
			v.claims = map[swarmnet.EndpointID][]EndpointRow{}
		}
		v.claims[id] = append(v.claims[id], row)
		return
	}
	v.Endpoints[id] = row
}
