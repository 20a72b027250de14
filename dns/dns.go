// Package dns serves 127.0.0.11 in each sandbox: the names of package records, and everything else by forwarding.
package dns

import (
	"net/netip"

	"github.com/swarmnet/swarmnet/dns/records"
)

// Address is where each sandbox finds its resolver.
var Address = netip.AddrFrom4([4]byte{127, 0, 0, 11})

// TTL is how long, in seconds, a client may keep a name of the cluster.
const TTL = 3

// Records are the names of a node's networks.
type Records = records.Records

// Book computes Records as things change; see records.Book.
type Book = records.Book
