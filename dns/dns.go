// Package dns serves 127.0.0.11 in each sandbox: the names of package records, and everything else by forwarding.
package dns

import (
	"net/netip"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/dns/records"
	"github.com/swarmnet/swarmnet/gossip"
)

// Address is where each sandbox finds its resolver.
var Address = netip.AddrFrom4([4]byte{127, 0, 0, 11})

// TTL is how long, in seconds, a client may keep a name of the cluster.
const TTL = 3

// Records are the names of a node's networks.
type Records = records.Records

// Compute derives the names of a node's networks; see records.Compute.
func Compute(set swarmnet.AssignmentSet, view gossip.View) *Records {
	return records.Compute(set, view)
}
