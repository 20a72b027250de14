package kernel

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress"
)

// Ports that are bound to one address of the host reach the fabric under a number of their own: the fabric does not see which address was
// asked, and one number may lead to different tasks by different addresses. The number is made from what is bound, so that it stays the
// same while others come and go.
const (
	firstAlias = 20000
	aliases    = 40000
)

// number is what a published port is called on the way from the host to the fabric.
type number struct {
	proto swarmnet.Protocol
	port  uint16
}

// inFabric returns the ports as the fabric knows them, and the numbers there of those that have another than their own.
func inFabric(ports []ingress.Port) ([]ingress.Port, map[PortKey]uint16) {
	if !slices.ContainsFunc(ports, func(p ingress.Port) bool { return p.HostIP.IsValid() }) {
		return ports, nil
	}
	taken := map[number]bool{}
	for _, p := range ports {
		if !p.HostIP.IsValid() {
			taken[number{p.Protocol, p.Published}] = true
		}
	}
	out, called := make([]ingress.Port, 0, len(ports)), map[PortKey]uint16{}
	for _, p := range ports {
		if p.HostIP.IsValid() {
			k := keyOf(p)
			n := aliasOf(k)
			for range aliases { // as many as there can be
				if !taken[number{p.Protocol, n}] {
					break
				}
				n = firstAlias + (n-firstAlias+1)%aliases
			}
			taken[number{p.Protocol, n}] = true
			called[k], p.Published = n, n
		}
		out = append(out, p)
	}
	return out, called
}

func aliasOf(k PortKey) uint16 {
	sum := sha256.Sum256([]byte(k.String()))
	return firstAlias + uint16(binary.BigEndian.Uint32(sum[:])%aliases)
}
