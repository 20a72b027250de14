package kernel

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nft"
)

// A connection between two networks that came about while somebody had removed the fabric's table, and that the kernel followed nevertheless (another
// table asks for that), carries nothing more when the table is there again.
func TestKernelIsolationOfConnectionsUnderWay(t *testing.T) {
	s := newSite(t, 1, 1, 2)
	h := s.hosts[0]
	a, b := h.addBox(1, 5), h.addBox(2, 5)
	s.converge(a, b)
	withTables(t, h, func(c *nft.Conn) error {
		follow := nft.Chain{Name: "forward", Base: &nft.Base{Type: "filter", Hook: unix.NF_INET_FORWARD}, Rules: []nft.Rule{rule(nft.CTNotNew(), nft.Accept())}}
		_, err := c.Ensure(context.Background(), &nft.Memo{}, nft.Table{Family: nft.INet, Name: "somebodys", Chains: []nft.Chain{follow}})
		return errors.Join(err, c.Remove(nft.INet, tableName))
	})
	to := netip.AddrPortFrom(b.addr, 80)
	var ln net.Listener
	b.NS.Do(func() (err error) { ln, err = net.Listen("tcp", to.String()); return err })
	t.Cleanup(func() { ln.Close() })
	go func() {
		if c, err := ln.Accept(); err == nil {
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	var c net.Conn
	a.NS.Do(func() (err error) { c, err = net.DialTimeout("tcp", to.String(), reach); return err })
	defer c.Close()
	echo := func(patience time.Duration) error {
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	for range 2 { // both ways, so that it is assured
		if err := echo(reach); err != nil {
			t.Fatalf("without the table: %v, so that this shows nothing", err)
		}
	}
	h.reconcile()
	if err := echo(noReach); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("with the table again: %v", err)
	}
}

// withTables does something to the tables in a host's fabric.
func withTables(t *testing.T, h *host, do func(*nft.Conn) error) {
	t.Helper()
	ns, err := netns.Open(h.fabric.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	c, err := nft.Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := do(c); err != nil {
		t.Fatal(err)
	}
}
