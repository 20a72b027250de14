package kernel

import (
	"fmt"

	"github.com/swarmnet/swarmnet/ingress/kernel/ipvs"
	"github.com/swarmnet/swarmnet/internal/nft"
)

// Choice is which Balancer a node has. The zero value is nftables.
type Choice struct{ scheduler ipvs.Scheduler }

// String is the Balancer's name.
func (c Choice) String() string { return c.New(nil).Name() }

// New makes the Balancer; see NewNFTables for the clocks.
func (c Choice) New(clocks *nft.Clocks) Balancer {
	if c.scheduler == "" {
		return NewNFTables(clocks)
	}
	return NewIPVS(c.scheduler, clocks)
}

// Choose returns the balancer of a wish: "ipvs", "nft", or "auto", which is IPVS where the kernel has all of it that is needed, and else nftables; then why
// says what is missing. A scheduler that is named (empty: rr) is a wish for IPVS, too. A wish that cannot be met is an error, which names the
// kernel's option.
func Choose(wish, scheduler string) (c Choice, why, err error) {
	named := scheduler != ""
	if !named {
		scheduler = string(ipvs.RoundRobin)
	}
	s, err := ipvs.ParseScheduler(scheduler)
	if err != nil {
		return c, nil, fmt.Errorf("--ipvs-scheduler: %w", err)
	}
	switch wish {
	case "nft":
		if named {
			return c, nil, fmt.Errorf("--ipvs-scheduler %s: nftables picks at random and has no schedulers; use --balancer ipvs", s)
		}
		return c, nil, nil
	case "ipvs", "auto":
		missing := ipvs.Probe(s)
		switch {
		case missing == nil:
			return Choice{s}, nil, nil
		case wish == "ipvs":
			return c, nil, fmt.Errorf("--balancer ipvs: %w; use --balancer nft, or auto", missing)
		case named:
			return c, nil, fmt.Errorf("--ipvs-scheduler %s: %w", s, missing)
		}
		return c, missing, nil
	}
	return c, nil, fmt.Errorf("--balancer %q: one of auto, ipvs, nft is wanted", wish)
}
