package records

import (
	"slices"
	"strconv"
	"strings"

	"github.com/swarmnet/swarmnet"
)

// Server is where a port of a service is served: what an SRV record says (RFC 2782).
type Server struct {
	Target string // NAME.NETWORK, without a final dot
	Port   uint16
}

// Services resolves _PORT._PROTO.NAME, PORT being a published port's name or the number of the task's port, as a sandbox on the given networks
// sees it; networks count as for Lookup. The servers come in any order.
func (r *Records) Services(networks []swarmnet.NetworkID, name string) ([]Server, bool) {
	for _, id := range networks {
		if z := r.zones[id]; z != nil {
			if s, ok := z.findServers(name); ok {
				return s, true
			}
		}
	}
	for _, id := range networks {
		if z := r.zones[id]; z != nil {
			if bare, ok := strings.CutSuffix(name, z.suffix); ok {
				if s, ok := z.findServers(bare); ok {
					return s, true
				}
			}
		}
	}
	return nil, false
}

// addPorts makes the published ports of a service known under one of its names. The targets are names whose addresses serve them.
func (z *zone) addPorts(s swarmnet.Service, name string, targets []string) {
	for _, p := range s.Ports {
		port := strconv.Itoa(int(p.Target))
		for _, label := range slices.Compact([]string{port, p.Name}) {
			if label == "" {
				continue
			}
			key := strings.ToLower("_" + label + "._" + p.Protocol.String() + "." + name)
			all := z.servers[key]
			for _, t := range targets {
				if one := (Server{strings.ToLower(t) + z.suffix, p.Target}); !slices.Contains(all, one) {
					all = append(all, one)
				}
			}
			z.servers[key] = all
		}
	}
}
