package kernel

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// guest6 is a sandbox with addresses of both families on a dual-stack network: 172.18.N.HOST and fd18:0:0:N::HOST.
func (c *cluster) guest6(id swarmnet.TaskID, network swarmnet.NetworkID, n, host byte, ports ...swarmnet.PortSpec) *kerneltest.NS {
	c.t.Helper()
	six := func(last byte) netip.Addr { return netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x18, 7: n, 15: last}) }
	net := c.set.Networks[network]
	if len(net.Subnets) == 1 {
		net.Subnets = append(net.Subnets, swarmnet.Subnet{Prefix: netip.PrefixFrom(six(0), 64), Gateway: six(1)})
		c.set.Networks[network] = net
	}
	ns := c.guest(id, 0, network, fmt.Sprintf("172.18.%d.%d", n, host), ports...)
	p := netip.PrefixFrom(six(host), 64)
	ep := c.set.Endpoints[swarmnet.EndpointID(id)]
	ep.Addrs = append(ep.Addrs, p)
	c.set.Endpoints[ep.ID] = ep
	c.apply()
	ns.With(func(conn *nl.Conn) error {
		eth := ns.Link("eth0").Index
		if err := conn.AddAddr(eth, p); err != nil {
			return err
		}
		return conn.ReplaceRoute(nl.Route{Dst: netip.PrefixFrom(netip.IPv6Unspecified(), 0), Via: six(1), Index: eth})
	})
	return ns
}

// serve6 answers one line to each connection: its name and the client's address.
func serve6(t *testing.T, ns *kerneltest.NS, name string, port int) {
	t.Helper()
	var ln net.Listener
	ns.Do(func() (err error) { ln, err = net.Listen("tcp6", fmt.Sprintf("[::]:%d", port)); return err })
	done := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, name, c.RemoteAddr().(*net.TCPAddr).IP)
			c.Close()
		}
	}()
}

func saw6(t *testing.T, from *kerneltest.NS, to, want string) {
	t.Helper()
	var c net.Conn
	var err error
	from.Do(func() error { c, err = net.DialTimeout("tcp6", to, patience); return nil })
	if err != nil {
		t.Errorf("%s: %v", to, err)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	line, err := bufio.NewReader(c).ReadString('\n')
	if got := strings.TrimSpace(line); err != nil || got != want {
		t.Errorf("%s: %q, want %q: %v", to, got, want, err)
	}
}

func TestKernelC30IPv6(t *testing.T) {
	kerneltest.Require(t, kerneltest.IPv6)
	c, n := alone(t)
	for i, ns := range []*kerneltest.NS{n.host, c.outside} {
		ns.With(func(conn *nl.Conn) error {
			return conn.AddAddr(ns.Link("eth0").Index, netip.MustParsePrefix(fmt.Sprintf("2001:db8:1::%d/64", i+1)))
		})
	}
	serve6(t, c.guest6("web", "lan", 0, 2, publish("", 8080, 80)...), "web", 80)
	serve6(t, c.guest6("one", "lan", 0, 3, publish("2001:db8:1::1", 8081, 80)...), "one", 80)
	far, near := c.guest6("far", "dmz", 1, 2), c.guest6("near", "lan", 0, 4)
	const gateway = "fd18::1"
	for port, name := range map[int]string{8080: "web", 8081: "one"} {
		at := fmt.Sprintf("[2001:db8:1::1]:%d", port)
		saw6(t, c.outside, at, name+" 2001:db8:1::2")
		saw6(t, far, at, name+" fd18:0:0:1::2")
		saw6(t, near, at, name+" "+gateway)
		saw6(t, n.host, at, name+" 2001:db8:1::1")
	}
	saw6(t, far, "["+gateway+"]:8080", "web fd18:0:0:1::2")
	// There is no way for ::1 to leave a host; clients that try both families go on to 127.0.0.1 at once.
	begun := time.Now()
	n.host.Do(func() error {
		if c, err := net.DialTimeout("tcp6", "[::1]:8080", patience); err == nil {
			c.Close()
			t.Error("::1 answered")
		}
		return nil
	})
	if time.Since(begun) > patience/2 {
		t.Error("::1 was not refused at once")
	}
	if changes := n.reconcile(); changes != 0 {
		t.Errorf("a second pass changed %d things", changes)
	}
}
