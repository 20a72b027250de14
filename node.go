package swarmnet

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"
)

// Role says what a node takes part in. Every node runs an agent; a manager also replicates the state.
type Role uint8

const (
	RoleWorker Role = iota
	RoleManager
)

// Availability says whether a node takes tasks.
type Availability uint8

const (
	AvailabilityActive Availability = iota
	AvailabilityPause               // keeps what it has, takes no more
	AvailabilityDrain               // gives everything up
)

// NodeState is what the managers know of a node's liveness.
type NodeState uint8

const (
	NodeUnknown      NodeState = iota // never seen
	NodeReady                         // has a session with a manager
	NodeDisconnected                  // lost its session less than the grace period ago
	NodeDown                          // lost it longer ago: its tasks are replaced
)

// NodeSpec is what a user asks of a node.
type NodeSpec struct {
	Name         string // empty: the hostname
	Labels       map[string]string
	Role         Role
	Availability Availability
}

// NodeDescription is what a node's agent says of itself when it opens a session.
type NodeDescription struct {
	Hostname     string
	Version      string
	OS, Arch     string
	Kernel       string
	VTEP         netip.Addr     // the underlay address of its VXLAN traffic
	GossipAddr   netip.AddrPort // where its gossip listens
	APIAddr      string         // HOST:PORT of its mTLS listener
	UnderlayMTU  int            // octets; what the device that holds VTEP takes, or less, if less arrives at another node
	Features     []string       // kernel features that the probe found
	GossipPubKey []byte         // Ed25519; signs its gossip rows
	Balancer     string         // what balances there, with its scheduler where it has one: "ipvs rr", "nft"
	BalancerWhy  string         // what decided that, in a few words
}

// VXLANOverhead is what VXLAN adds to a packet, in octets: outer IP, UDP, VXLAN and inner Ethernet headers (RFC 7348 section 4.3), 50 over IPv4
// and 70 over IPv6.
func VXLANOverhead(vtep netip.Addr) int {
	if vtep.Is6() && !vtep.Is4In6() {
		return 70
	}
	return 50
}

// Room is the largest packet of an overlay network that the node can send and receive, in octets; 0: it has not said.
func (d NodeDescription) Room() int {
	if d.UnderlayMTU == 0 {
		return 0
	}
	return max(d.UnderlayMTU-VXLANOverhead(d.VTEP), 0)
}

// NodeStatus is the liveness of a node, as agreed by the managers.
type NodeStatus struct {
	State   NodeState
	Message string
	Since   time.Time // of State
	// Manager holds the node's session: when it is lost, so is the session.
	Manager NodeID
}

// Node is a host that runs the daemon.
type Node struct {
	ID          NodeID
	Meta        Meta
	Spec        NodeSpec
	Description NodeDescription
	Status      NodeStatus
	// Index is a small number, unique in the cluster, that names the node in packet marks and conntrack zones: 1 to 65535.
	Index uint16
	// Epoch counts the starts of the node's agent; gossip rows of an older epoch are void.
	Epoch uint64
	// RaftID is the node's member id in the managers' raft group; 0 for a worker.
	RaftID uint64
	// Role is the role in force: the one that its certificate says. Spec.Role is the one wanted.
	Role Role
	// Ingress are the node's addresses on the ingress network, with prefix length; at most one of each family.
	Ingress []netip.Prefix
	// CertSerial is the serial number, in hex, of the certificate in force.
	CertSerial string
	// Applied is the revision up to which the node has acknowledged that everything which concerns it is in force in its data path: names,
	// virtual addresses, published ports. It is written only where something waits for it, and starts at 0 with each Epoch.
	Applied uint64
	// Degraded are the published ports that the node cannot publish, ordered, as its agent said last.
	Degraded []DegradedPort
}

// DegradedPort is a published port that a node does not publish, since another program has it.
type DegradedPort struct {
	Protocol  Protocol
	Published uint16
	HostIP    netip.Addr // zero: every address of the node
	Why       string     // one line: who has it
}

// Compare orders ports.
func (p DegradedPort) Compare(q DegradedPort) int {
	return cmp.Or(cmp.Compare(p.Protocol, q.Protocol), cmp.Compare(p.Published, q.Published), p.HostIP.Compare(q.HostIP), cmp.Compare(p.Why, q.Why))
}

// Name is the name that tables show: the given one, else the hostname, else the short id.
func (n Node) Name() string {
	switch {
	case n.Spec.Name != "":
		return n.Spec.Name
	case n.Description.Hostname != "":
		return n.Description.Hostname
	}
	return ShortID(n.ID)
}

// IngressAddr returns the node's ingress address of one family, or the zero Addr.
func (n Node) IngressAddr(is6 bool) netip.Addr { return Endpoint{Addrs: n.Ingress}.Addr(is6) }

// IngressMAC is the MAC of the node's interface on the ingress network.
func (n Node) IngressMAC() MAC {
	if len(n.Ingress) == 0 {
		return MAC{}
	}
	return MACFor(n.Ingress[0].Addr())
}

func (n Node) String() string {
	return fmt.Sprintf("node %s role=%s availability=%s state=%s", n.Name(), n.Spec.Role, n.Spec.Availability, n.Status.State)
}
