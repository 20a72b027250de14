package kernel

import (
	"fmt"
	"strings"
	"testing"

	"github.com/swarmnet/swarmnet/ingress/kernel/ipvs"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
)

func TestChooseRefusesWhatIsNoWish(t *testing.T) {
	for _, c := range []struct{ wish, scheduler, says string }{
		{"iptables", "", `--balancer "iptables": one of auto, ipvs, nft is wanted`},
		{"auto", "fair", `--ipvs-scheduler: there is no scheduler "fair": one of rr, wrr, lc, sh, mh is wanted`},
		{"nft", "lc", "--ipvs-scheduler lc: nftables picks at random and has no schedulers; use --balancer ipvs"},
	} {
		if _, err := Choose(c.wish, c.scheduler); err == nil || err.Error() != c.says {
			t.Errorf("%s %s: %v, want %s", c.wish, c.scheduler, err, c.says)
		}
	}
	if b, err := Choose("nft", ""); err != nil || b.Why() != "--balancer nft asks for it" || b.String() != "nft" {
		t.Errorf("nft: %v since %q, %v", b, b.Why(), err)
	}
}

// What the kernel has decides: where it has IPVS that is taken, where it has not, the wish for it is refused and names the option.
func TestKernelChooseByWhatIsThere(t *testing.T) {
	kerneltest.Require(t, kerneltest.Namespaces)
	missing := ipvs.Probe(ipvs.RoundRobin)
	auto, err := Choose("auto", "")
	why := "this kernel has IPVS"
	if missing != nil {
		why = missing.Error()
	}
	if err != nil || auto.Why() != why {
		t.Fatalf("auto: why %q, %v; want %q", auto.Why(), err, why)
	}
	for _, s := range ipvs.Schedulers {
		if missing != nil {
			if _, err := Choose("auto", string(s)); err == nil || !strings.Contains(err.Error(), "CONFIG_IP_VS") {
				t.Errorf("scheduler %s on a kernel without IPVS: %v", s, err)
			}
		} else {
			for wish, why := range map[string]string{"ipvs": "--balancer ipvs asks for it", "auto": fmt.Sprintf("--ipvs-scheduler %s asks for it", s)} {
				if b, err := Choose(wish, string(s)); err != nil || b.String() != "ipvs "+string(s) || b.Why() != why {
					t.Errorf("%s with scheduler %s: %v since %q, %v", wish, s, b, b.Why(), err)
				}
			}
		}
	}
	if missing == nil {
		if auto.String() != "ipvs rr" {
			t.Errorf("auto took %s", auto.String())
		}
		return
	}
	if _, err := Choose("ipvs", ""); auto.String() != "nft" || err == nil || !strings.HasPrefix(err.Error(), "--balancer ipvs: ") || !strings.Contains(err.Error(), missing.Error()) {
		t.Errorf("auto took %s; ipvs: %v", auto.String(), err)
	}
}
