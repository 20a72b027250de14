package kernel

import (
	"fmt"

	"github.com/swarmnet/swarmnet/ingress/kernel/ipvs"
	"github.com/swarmnet/swarmnet/internal/nft"
)

// Choice is which Balancer a node has. The zero value is nftables.
type Choice struct {
	scheduler ipvs.Scheduler
	why       string
}

// String is the Balancer's name.
func (c Choice) String() string { return c.New(nil).Name() }

// Why says in a few words what decided: what was asked for, what the kernel has, or what it lacks.
func (c Choice) Why() string { return c.why }

// New makes the Balancer; see NewNFTables for the clocks.
func (c Choice) New(clocks *nft.Clocks) Balancer {
	if c.scheduler == "" {
		return NewNFTables(clocks)
	}
	return NewIPVS(c.scheduler, clocks)
}

// Choose returns the balancer of a wish: "ipvs", "nft", or "auto", which is IPVS where the kernel has all of it that is needed, and else nftables. A
// scheduler that is named (empty: rr) is a wish for IPVS, too. A wish that cannot be met is an error, which names the kernel's option.
func Choose(wish, scheduler string) (Choice, error) {
	named := scheduler != ""
	if !named {
		scheduler = string(ipvs.RoundRobin)
	}
	s, err := ipvs.ParseScheduler(scheduler)
	if err != nil {
		return Choice{}, fmt.Errorf("--ipvs-scheduler: %w", err)
	}
	switch wish {
	case "nft":
		if named {
			return Choice{}, fmt.Errorf("--ipvs-scheduler %s: nftables picks at random and has no schedulers; use --balancer ipvs", s)
		}
		return Choice{why: "--balancer nft asks for it"}, nil
	case "ipvs", "auto":
		missing := ipvs.Probe(s)
		switch {
		case missing == nil && wish == "ipvs":
			return Choice{s, "--balancer ipvs asks for it"}, nil
		case missing == nil && named:
			return Choice{s, fmt.Sprintf("--ipvs-scheduler %s asks for it", s)}, nil
		case missing == nil:
			return Choice{s, "this kernel has IPVS"}, nil
		case wish == "ipvs":
			return Choice{}, fmt.Errorf("--balancer ipvs: %w; use --balancer nft, or auto", missing)
		case named:
			return Choice{}, fmt.Errorf("--ipvs-scheduler %s: %w", s, missing)
		}
		return Choice{why: missing.Error()}, nil
	}
	return Choice{}, fmt.Errorf("--balancer %q: one of auto, ipvs, nft is wanted", wish)
}
