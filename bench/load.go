package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/netns"
)

const (
	meshConnections = 4000
	meshClients     = 2 // at once
	meshBytes       = 1 << 30
	askPort         = 80 // answers 8 octets with 8
	bulkPort        = 81 // sends octets as long as anybody takes them
)

// serve answers in a namespace until ctx ends.
func serve(ctx context.Context, ns string) error {
	for port, answer := range map[int]func(net.Conn){askPort: answerOne, bulkPort: sendBulk} {
		var l net.Listener
		if err := netns.Do(ns, func() (err error) {
			lc := net.ListenConfig{Control: cubic}
			l, err = lc.Listen(ctx, "tcp4", fmt.Sprintf(":%d", port))
			return err
		}); err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return // closed
				}
				go answer(c)
			}
		}()
	}
	return nil
}

func answerOne(c net.Conn) {
	defer c.Close()
	var b [8]byte
	if _, err := io.ReadFull(c, b[:]); err == nil {
		_, _ = c.Write(b[:])
	}
}

func sendBulk(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 256<<10)
	for {
		if _, err := c.Write(buf); err != nil {
			return
		}
	}
}

// cost is what a run took: of the clock and of CPU, in seconds.
type cost struct{ wall, cpu float64 }

func (c cost) plus(d cost) cost { return cost{c.wall + d.wall, c.cpu + d.cpu} }

// measure runs fn and counts the CPU time of this process, clients and servers alike with what the kernel does for them, and of others that take part.
func measure(fn func() error, others ...int) (c cost, err error) {
	cpu := func() (sum float64) {
		for _, pid := range append(others, 0) {
			sum += cpuSeconds(pid)
		}
		return sum
	}
	before, began := cpu(), time.Now()
	err = fn()
	return cost{time.Since(began).Seconds(), cpu() - before}, err
}

// connections opens many connections, one after the other by each client, and asks once over each.
func connections(ns string, to netip.AddrPort, count int) error {
	var wg sync.WaitGroup
	errs := make([]error, meshClients)
	for i := range meshClients {
		wg.Go(func() {
			errs[i] = netns.Do(ns, func() error {
				for range count / meshClients {
					if err := askOnce(to); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// socket connects, by system calls alone: what a client library would do is not what is compared.
func socket(to netip.AddrPort) (fd int, err error) {
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, err
	}
	tv := unix.NsecToTimeval(int64(10 * time.Second))
	err = errors.Join(
		unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic"),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv),
		// Once the server has closed its side, ours ends at once: ports are not used up.
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
	)
	if err == nil {
		err = connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("cannot connect to %s: %w", to, err)
	}
	return fd, nil
}

// connect goes on when a signal interrupts it, as connect(2) asks for: the handshake does, and the socket is writable at its end.
func connect(fd int, to unix.Sockaddr) error {
	err := unix.Connect(fd, to)
	for errors.Is(err, unix.EINTR) {
		if _, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 10_000); err == nil {
			var failed int
			if failed, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && failed != 0 {
				err = unix.Errno(failed)
			}
		}
	}
	return err
}

func askOnce(to netip.AddrPort) error {
	fd, err := socket(to)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var b [8]byte
	if _, err := unix.Write(fd, b[:]); err != nil {
		return err
	}
	for got := 0; ; {
		n, err := unix.Read(fd, b[:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("no answer from %s: %w", to, err)
		}
		if got += n; n == 0 && got == len(b) {
			return nil
		} else if n == 0 {
			return fmt.Errorf("%d octets from %s instead of %d", got, to, len(b))
		}
	}
}

// bulk takes octets over one connection.
func bulk(ns string, from netip.AddrPort, count int) error {
	return netns.Do(ns, func() error {
		fd, err := socket(from)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		buf := make([]byte, 256<<10)
		for count > 0 {
			n, err := unix.Read(fd, buf)
			switch {
			case errors.Is(err, unix.EINTR):
			case err != nil:
				return fmt.Errorf("no more from %s: %w", from, err)
			case n == 0:
				return fmt.Errorf("%s ended %d octets early", from, count)
			default:
				count -= n
			}
		}
		return nil
	})
}
