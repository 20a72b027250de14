package process

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// openDNS opens the resolver's UDP and TCP socket in the network namespace of the calling process. Queries wait in them while no daemon
// reads: about 200 KB of UDP, and 128 connections.
func openDNS(at netip.AddrPort) ([]*os.File, error) {
	udp, err := bound(at, unix.SOCK_DGRAM)
	if err != nil {
		return nil, fmt.Errorf("resolver on udp %s: %w", at, err)
	}
	tcp, err := bound(at, unix.SOCK_STREAM)
	if err == nil {
		if err = unix.Listen(int(tcp.Fd()), 128); err != nil {
			tcp.Close()
		}
	}
	if err != nil {
		udp.Close()
		return nil, fmt.Errorf("resolver on tcp %s: %w", at, err)
	}
	return []*os.File{udp, tcp}, nil
}

func bound(at netip.AddrPort, kind int) (*os.File, error) {
	family, addr := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(at.Port())})
	if at.Addr().Is4() {
		addr.(*unix.SockaddrInet4).Addr = at.Addr().As4()
	} else {
		family, addr = unix.AF_INET6, &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if kind == unix.SOCK_STREAM {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			unix.Close(fd)
			return nil, err
		}
	}
	if err := bindFreed(fd, addr); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "dns"), nil
}

// freedWithin is how long an address may be taken still by a process that the daemon just forked: until it executes its program it has the
// daemon's sockets, closed ones among them.
const freedWithin = 2 * time.Second

// bindFreed binds to an address whose last holder has let go of it.
func bindFreed(fd int, addr unix.Sockaddr) error {
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		if err := unix.Bind(fd, addr); err != unix.EADDRINUSE || time.Since(began) > freedWithin {
			return err
		}
	}
}
