package kernel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
)

// TestKernelHeldPortRefuses shows that a port which is held, but has no rules yet, refuses at once, and that nobody else can have it.
func TestKernelHeldPortRefuses(t *testing.T) {
	ns := kerneltest.NewNamespace(t)
	h := NewHolder(ns.Path)
	ports := []ingress.Port{
		{Protocol: swarmnet.TCP, Published: 8080},
		{Protocol: swarmnet.TCP, Published: 8081, Mode: swarmnet.PublishHost, HostIP: netip.MustParseAddr("127.0.0.1")},
	}
	if held, err := h.Hold(ports); err != nil || len(held) != len(ports) {
		t.Fatalf("held %v: %v", held, err)
	}
	ns.Do(func() error {
		for _, addr := range []string{"127.0.0.1:8080", "127.0.0.1:8081"} {
			if c, err := net.DialTimeout("tcp", addr, 5*time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
				if err == nil {
					c.Close()
				}
				t.Errorf("connecting to %s: %v, want it refused", addr, err)
			}
			if l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr); !errors.Is(err, syscall.EADDRINUSE) {
				if err == nil {
					l.Close()
				}
				t.Errorf("listening on %s: %v, want it in use", addr, err)
			}
		}
		return nil
	})
	h.Release(nil)
	ns.Do(func() error {
		l, err := net.Listen("tcp", "127.0.0.1:8080")
		if err != nil {
			t.Errorf("a port that was let go: %v", err)
			return nil
		}
		return l.Close()
	})
}
