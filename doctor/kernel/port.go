package kernel

import (
	"net/netip"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/doctor"
	"github.com/swarmnet/swarmnet/internal/hostport"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// vxlanPort finds out who has the UDP port of VXLAN traffic in the host's namespace. Our devices live in the fabric, but their sockets are
// where the devices were made: the host.
func (o *observer) vxlanPort(host *nl.Conn) (doctor.Port, error) {
	p := doctor.Port{Number: o.cfg.Port, Ours: o.ours()}
	var who hostport.Program
	bound := false
	err := host.NS().Do(func() error {
		who, bound = hostport.Find(swarmnet.UDP, netip.Addr{}, o.cfg.Port)
		return nil
	})
	if err != nil || !bound {
		return p, err
	}
	if who.PID != 0 {
		p.Holder = who.String()
		return p, nil
	}
	links, err := host.Links()
	if err != nil {
		return p, err
	}
	for _, l := range links {
		if l.VXLAN != nil && l.VXLAN.Port == o.cfg.Port {
			p.Holder = "the VXLAN device " + l.Name
			return p, nil
		}
	}
	if !p.Ours {
		p.Holder = "a program that cannot be seen from here, or a VXLAN device elsewhere"
	}
	return p, nil
}
