package manager

import (
	"context"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// segment is the largest TCP segment between nodes, in octets: with its headers it fits what every path must carry (1,280 octets, RFC 8200 section 5).
// What keeps the nodes together must not hang on the size of the packets that get through between them.
const segment = 1220

// listen opens the API's listener. The option holds for both directions of its connections (tcp(7), TCP_MAXSEG).
func listen(addr string) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var serr error
		if err := c.Control(func(fd uintptr) { serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, segment) }); err != nil {
			return err
		}
		return serr
	}}
	return lc.Listen(context.Background(), "tcp", addr)
}
