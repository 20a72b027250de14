package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/netns"
)

// helpers are the parts of this program that run inside the lab's nodes.
var helpers = map[string]func(ctx context.Context, args []string, out io.Writer) error{
	"serve":  serveStream,
	"pull":   pullStream,
	"hand":   handMade,
	"pair":   handPair,
	"probe":  probeAll,
	"lookup": lookupName,
	"names":  askForNames,

	"program": programNode,
	"know":    knowEndpoints,
	"publish": publish,
	"carry":   takePath,
	"passes":  stayStill,
}

// serveStream sends BYTES of zeroes to whoever connects, in the namespace at -netns.
func serveStream(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	ns := fs.String("netns", "", "")
	port := fs.Int("port", 9000, "")
	n := fs.Int64("bytes", 1<<30, "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	var l net.Listener
	if err := netns.Do(*ns, func() error {
		addr, err := ownAddr()
		if err != nil {
			return err
		}
		lc := net.ListenConfig{Control: cubic}
		l, err = lc.Listen(ctx, "tcp", netip.AddrPortFrom(addr, uint16(*port)).String())
		return err
	}); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	fmt.Fprintln(out, l.Addr())
	for {
		c, err := l.Accept()
		if err != nil {
			return nil // closed: the measurement is over
		}
		buf := make([]byte, 256<<10)
		for left := *n; left > 0; {
			k, err := c.Write(buf[:min(int64(len(buf)), left)])
			if err != nil {
				return err
			}
			left -= int64(k)
		}
		c.Close()
	}
}

// ownAddr is the address of eth0 in the current namespace.
func ownAddr() (netip.Addr, error) {
	i, err := net.InterfaceByName("eth0")
	if err != nil {
		return netip.Addr{}, err
	}
	addrs, err := i.Addrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			return p.Addr(), nil
		}
	}
	return netip.Addr{}, errors.New("eth0 has no IPv4 address")
}

// cubic is set on both sides of a comparison alike: pacing, which other congestion controls do, would hide differences.
func cubic(_, _ string, c syscall.RawConn) error {
	var serr error
	err := c.Control(func(fd uintptr) {
		serr = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
	})
	return errors.Join(err, serr)
}

// streamResult is one transfer: bytes, seconds of the wall clock, and busy CPU seconds of the whole machine meanwhile (softirq
// work belongs to nobody's process).
type streamResult struct {
	Bytes     int64
	Wall, CPU float64
}

// pullStream reads everything from -from, in the namespace at -netns.
func pullStream(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("pull", flag.ContinueOnError)
	ns := fs.String("netns", "", "")
	from := fs.String("from", "", "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	var c net.Conn
	if err := netns.Do(*ns, func() (err error) {
		c, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", *from)
		return err
	}); err != nil {
		return err
	}
	defer c.Close()
	busy, start := busySeconds(), time.Now()
	buf := make([]byte, 256<<10)
	var total int64
	for {
		n, err := c.Read(buf)
		total += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	return json.NewEncoder(out).Encode(streamResult{total, time.Since(start).Seconds(), busySeconds() - busy})
}

// busySeconds is the CPU time that the machine has spent not idle: proc(5), /proc/stat, in USER_HZ of 1/100 s.
func busySeconds() float64 {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	var busy float64
	for i, f := range strings.Fields(line)[1:] {
		if v, err := strconv.ParseFloat(f, 64); err == nil && i != 3 && i != 4 { // idle, iowait
			busy += v
		}
	}
	return busy / 100
}
