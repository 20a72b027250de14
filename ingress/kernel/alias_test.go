package kernel

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress"
)

// On the way to the fabric every port has a number that no other has, and those of all addresses keep theirs.
func TestAliasesAreUnique(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seen := map[PortKey]bool{}
		var ports []ingress.Port
		for range rapid.IntRange(0, 300).Draw(t, "ports") {
			p := ingress.Port{Protocol: swarmnet.Protocol(rapid.IntRange(0, 1).Draw(t, "proto")), Published: uint16(rapid.IntRange(firstAlias, firstAlias+200).Draw(t, "port"))}
			if last := rapid.IntRange(0, 3).Draw(t, "address"); last > 0 {
				p.HostIP = netip.AddrFrom4([4]byte{192, 0, 2, byte(last)})
			}
			if !seen[keyOf(p)] {
				ports, seen[keyOf(p)] = append(ports, p), true
			}
		}
		inside, called := inFabric(ports)
		taken := map[number]bool{}
		for i, p := range inside {
			n := number{p.Protocol, p.Published}
			if taken[n] {
				t.Fatalf("%v is two ports'", n)
			}
			taken[n] = true
			k := keyOf(ports[i])
			if n, other := called[k]; other != k.HostIP.IsValid() || other && n != p.Published || !k.HostIP.IsValid() && k.Published != p.Published {
				t.Fatalf("%s is called %d and %d", k, called[k], p.Published)
			}
		}
	})
}
