package kernel

import (
	"context"
	"net/netip"

	"github.com/swarmnet/swarmnet/ingress"
)

// Balancer picks, for each new connection, the task behind a published port or a virtual address. It gets the whole desired state,
// observes what is there and does the difference: a second pass changes nothing. Established connections stay where they are. What it is given
// must not be changed afterwards.
type Balancer interface {
	// Ports balances what comes to the fabric's own addresses. A port without backends refuses.
	Ports(ctx context.Context, fabricNS string, addrs []netip.Addr, ports []ingress.Port) (changes int, err error)
	// VIPs balances what a sandbox sends to virtual addresses. One without backends refuses.
	VIPs(ctx context.Context, sandboxNS string, vips ingress.VIPs) (changes int, err error)
	// RemovePorts takes away what Ports made, with whatever balancer.
	RemovePorts(ctx context.Context, fabricNS string, addrs []netip.Addr) error
	// Name is what the balancer is called, with its scheduler where it has one: "ipvs rr", "nft".
	Name() string
	// Told reports whether the kernel tells those who listen of whatever changes in what the balancer made. What it does not tell is to be looked for.
	Told() bool
}
