package ipvs

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// readMost is how much is read at once: some ten destinations. What a service has is asked for service by service, and comes with all its statistics; most of
// the time is the kernel's, for these. /proc/net/ip_vs lists everything at once in a quarter of the time, but neither flags nor limits, and the socket
// options of before netlink have IPv4 alone.
const readMost = 4 << 10

// Observe returns the services for which ours answers true.
func (c *Conn) Observe(ours func(Key) bool) (Table, error) {
	out := Table{}
	err := c.look(ours, func(k Key, s Service) {
		s.Dests = map[netip.AddrPort]Dest{}
		out[k] = s
	}, func(k Key, a netip.AddrPort, d Dest) { out[k].Dests[a] = d })
	return out, err
}

// Digest is the digest of what Observe returns, in a fraction of the time.
func (c *Conn) Digest(ours func(Key) bool) (Digest, error) {
	var d digester
	err := c.look(ours, d.service, d.dest)
	return d.sum, err
}

// look gives the services for which ours answers true, then each one's destinations.
func (c *Conn) look(ours func(Key) bool, service func(Key, Service), dest func(Key, netip.AddrPort, Dest)) error {
	var keys []Key
	err := c.g.Dump(getService, version, nil, func(msg []byte) {
		k, s := parseService(msg)
		if ours(k) {
			keys = append(keys, k)
			service(k, s)
		}
	})
	if err != nil {
		return fmt.Errorf("cannot list IPVS services: %w", err)
	}
	var of []byte
	for _, k := range keys {
		of = appendKey(of[:0], k)
		err := c.g.Dump(getDest, version, of, func(msg []byte) {
			a, d := parseDest(msg, k.V6)
			dest(k, a, d)
		})
		if err != nil && !errors.Is(err, unix.ESRCH) { // it has just gone
			return fmt.Errorf("cannot list the destinations of IPVS service %s: %w", k, err)
		}
	}
	return nil
}
