package swarmnet

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// VNI is a VXLAN network identifier (RFC 7348 section 5): 24 bits, 0 meaning "none yet".
type VNI uint32

const (
	// FirstVNI is the lowest VNI that the cluster gives out by itself; the ingress network gets it.
	FirstVNI VNI = 4096
	MaxVNI   VNI = 1<<24 - 1

	DefaultDataPathPort uint16 = 4789
)

func (v VNI) String() string { return strconv.FormatUint(uint64(v), 10) }

// ParseVNI reads a decimal VNI between 1 and 2^24-1.
func ParseVNI(s string) (VNI, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 || VNI(n) > MaxVNI {
		return 0, fmt.Errorf("%q is not a VNI: a number from 1 to %d is wanted", s, MaxVNI)
	}
	return VNI(n), nil
}

// MAC is an Ethernet address.
type MAC [6]byte

func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }
func (m MAC) IsZero() bool   { return m == MAC{} }

// ParseMAC reads the usual colon form of an Ethernet address.
func ParseMAC(s string) (MAC, error) {
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != 6 {
		return MAC{}, fmt.Errorf("%q is not an Ethernet address", s)
	}
	return MAC(hw), nil
}

// MACFor is the Ethernet address of the interface that holds addr: 02:42 and the four octets of an IPv4 address, or
// 02:43 and the last four octets of a digest of an IPv6 address.
func MACFor(addr netip.Addr) MAC {
	if addr = addr.Unmap(); addr.Is4() {
		a := addr.As4()
		return MAC{0x02, 0x42, a[0], a[1], a[2], a[3]}
	}
	id := DeriveID("mac", addr.String())
	return MAC{0x02, 0x43, id[0], id[1], id[2], id[3]}
}

// GatewayMAC is the one MAC of a network's gateway, the same on every node: a distributed anycast gateway.
func GatewayMAC(v VNI) MAC {
	return MAC{0x02, 0x44, 0, byte(v >> 16), byte(v >> 8), byte(v)}
}

// Names of the built-in drivers.
const (
	DriverOverlay = "overlay"
	DriverBridge  = "bridge"
	DriverMacvlan = "macvlan"
	DriverCNI     = "cni"
	DriverHost    = "host"
	DriverNone    = "none"
)

// IngressNetworkName is the name of the network that carries the routing mesh unless another is made with --ingress.
const IngressNetworkName = "ingress"

// NetworkSpec is what a user asks of a network.
type NetworkSpec struct {
	Name       string
	Labels     map[string]string
	Driver     string
	Options    map[string]string
	Internal   bool // no gateway, no egress
	Attachable bool // sandboxes outside services may join
	Ingress    bool // carries the routing mesh
	IPv6       bool // wants an IPv6 subnet as well
	IPAM       []IPAMConfig
}

// IPAMConfig asks for one subnet. A zero Subnet means "choose one from the cluster's pools".
type IPAMConfig struct {
	Subnet  netip.Prefix
	Gateway netip.Addr            // zero: the first address of the subnet
	Range   netip.Prefix          // bounds what is given out; zero: the whole subnet
	Aux     map[string]netip.Addr // addresses that others use: never given out
}

// Network is a named switch with its allocated identity.
type Network struct {
	ID      NetworkID
	Meta    Meta
	Spec    NetworkSpec
	VNI     VNI      // 0 until allocated
	Subnets []Subnet // empty until allocated; at most one of each family
	// Conf is what a driver that gives the addresses itself was configured with when the network was made: of a cni network the list of
	// plugins, JSON. It has no subnets then. Empty for all others.
	Conf string
}

// Subnet is an allocated subnet of a network.
type Subnet struct {
	Prefix  netip.Prefix
	Gateway netip.Addr // zero for internal networks
	Range   netip.Prefix
	Aux     map[string]netip.Addr
}

// Allocated reports whether the network has got its VNI, and its subnets if addresses on it are ours.
func (n Network) Allocated() bool { return n.VNI != 0 && (len(n.Subnets) > 0 || n.Conf != "") }

// PredefinedNetworkID is the id of one of the networks that every node has; it is the same on each.
func PredefinedNetworkID(name string) NetworkID { return NetworkID(DeriveID("local network", name)) }

// HasNames reports whether the members of the network find each other by name. On the ingress network, a transit between nodes, and on the
// predefined bridge they don't.
func (n Network) HasNames() bool {
	return !n.Spec.Ingress && n.ID != PredefinedNetworkID(DriverBridge)
}

// HasGateway reports whether members of the network can leave it through a gateway.
func (n Network) HasGateway() bool { return !n.Spec.Internal }

func (n Network) String() string {
	s := fmt.Sprintf("network %s driver=%s", n.Spec.Name, n.Spec.Driver)
	if n.VNI != 0 {
		s += " vni=" + n.VNI.String()
	}
	for _, sub := range n.Subnets {
		s += " subnet=" + sub.Prefix.String()
		if sub.Gateway.IsValid() {
			s += " gateway=" + sub.Gateway.String()
		}
	}
	return s
}
