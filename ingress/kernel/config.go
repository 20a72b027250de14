package kernel

import (
	"log/slog"
	"net/netip"

	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/nft"
)

// Config says where the mesh is to be made.
type Config struct {
	// HostNS and FabricNS are the paths of the two namespaces; an empty HostNS is the caller's own.
	HostNS, FabricNS string
	// HostLink is the host's end of the link between the two, Uplink the fabric's; empty: swarmnet0 and uplink.
	HostLink, Uplink string
	// FabricAddrs are the addresses of the fabric's end, at most one of each family; empty: 169.254.77.2 and fd00:5377:6d00::2.
	FabricAddrs []netip.Addr
	// Balancer picks the task for each new connection; nil: nftables.
	Balancer Balancer
	// Doubt reports whether something may have changed the fabric's routes since it was last asked; nil: always. While it does not, they are
	// changed without being looked at.
	Doubt func() bool
	// Clocks are shared with those who have tables of ours in the same namespaces; nil: with nobody.
	Clocks *nft.Clocks
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.HostLink == "" {
		c.HostLink = "swarmnet0"
	}
	if c.Uplink == "" {
		c.Uplink = "uplink"
	}
	if len(c.FabricAddrs) == 0 {
		c.FabricAddrs = []netip.Addr{netip.MustParseAddr("169.254.77.2"), netip.MustParseAddr("fd00:5377:6d00::2")}
	}
	if c.Clocks == nil {
		c.Clocks = &nft.Clocks{}
	}
	if c.Balancer == nil {
		c.Balancer = NewNFTables(c.Clocks)
	}
	if c.Doubt == nil {
		c.Doubt = func() bool { return true }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// fabricAddr returns the fabric's address of a family, or the zero Addr.
func (c Config) fabricAddr(v6 bool) netip.Addr {
	for _, a := range c.FabricAddrs {
		if a.Is6() == v6 {
			return a
		}
	}
	return netip.Addr{}
}

// families in the order in which rules for them stand.
var families = [...]bool{false, true}

// ofFamily are the backends with an address of the family.
func ofFamily(list []ingress.Backend, v6 bool) []ingress.Backend {
	var out []ingress.Backend
	for _, b := range list {
		if b.Addr.Is6() == v6 {
			out = append(out, b)
		}
	}
	return out
}
