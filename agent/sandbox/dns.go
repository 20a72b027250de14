package sandbox

import (
	"fmt"
	"net"

	"github.com/swarmnet/swarmnet/internal/netns"
)

// DNSAddr is where the resolver answers in every sandbox.
const DNSAddr = "127.0.0.11:53"

// ListenDNS opens the resolver's sockets at DNSAddr in the network namespace at path. They stay there, whoever reads them.
func ListenDNS(path string) (net.PacketConn, net.Listener, error) {
	var udp net.PacketConn
	var tcp net.Listener
	err := netns.Do(path, func() (err error) {
		if udp, err = net.ListenPacket("udp4", DNSAddr); err != nil {
			return err
		}
		if tcp, err = net.Listen("tcp4", DNSAddr); err != nil {
			udp.Close()
		}
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("resolver at %s: %w", DNSAddr, err)
	}
	return udp, tcp, nil
}
