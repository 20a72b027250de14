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
		if _, _, err := Choose(c.wish, c.scheduler); err == nil || err.Error() != c.says {
			t.Errorf("%s %s: %v, want %s", c.wish, c.scheduler, err, c.says)
		}
	}
	if b, why, err := Choose("nft", ""); err != nil || why != nil || b.String() != "nft" {
		t.Errorf("nft: %v, %v, %v", b, why, err)
	}
}

// What the kernel has decides: where it has IPVS that is taken, where it has not, the wish for it is refused and names the option.
func TestKernelChooseByWhatIsThere(t *testing.T) {
	kerneltest.Require(t, kerneltest.Namespaces)
	missing := ipvs.Probe(ipvs.RoundRobin)
	auto, why, err := Choose("auto", "")
	if err != nil || fmt.Sprint(why) != fmt.Sprint(missing) {
		t.Fatalf("auto: why %v, %v; the probe says %v", why, err, missing)
	}
	for _, s := range ipvs.Schedulers {
		if missing != nil {
			if _, _, err := Choose("auto", string(s)); err == nil || !strings.Contains(err.Error(), "CONFIG_IP_VS") {
				t.Errorf("scheduler %s on a kernel without IPVS: %v", s, err)
			}
		} else if b, _, err := Choose("ipvs", string(s)); err != nil || b.String() != "ipvs "+string(s) {
			t.Errorf("scheduler %s: %v, %v", s, b, err)
		}
	}
	if missing == nil {
		if auto.String() != "ipvs rr" {
			t.Errorf("auto took %s", auto.String())
		}
		return
	}
	if _, _, err := Choose("ipvs", ""); auto.String() != "nft" || err == nil || !strings.HasPrefix(err.Error(), "--balancer ipvs: ") || !strings.Contains(err.Error(), missing.Error()) {
		t.Errorf("auto took %s; ipvs: %v", auto.String(), err)
	}
}
