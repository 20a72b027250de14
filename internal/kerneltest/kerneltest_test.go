package kerneltest

import (
	"io"
	"net"
	"strings"
	"testing"
)

func TestKernelSwitch(t *testing.T) {
	a, b := NewNamespace(t), NewNamespace(t)
	Switch(t, 1500, End{a, "eth0", []string{"192.0.2.1/24"}}, End{b, "eth0", []string{"192.0.2.2/24"}})
	var ln net.Listener
	a.Do(func() (err error) { ln, err = net.Listen("tcp4", "192.0.2.1:0"); return err })
	defer ln.Close()
	go func() {
		if c, err := ln.Accept(); err == nil {
			_, _ = io.WriteString(c, c.RemoteAddr().String())
			c.Close()
		}
	}()
	var said []byte
	b.Do(func() error {
		c, err := net.Dial("tcp4", ln.Addr().String())
		if err != nil {
			return err
		}
		defer c.Close()
		said, err = io.ReadAll(c)
		return err
	})
	if !strings.HasPrefix(string(said), "192.0.2.2:") {
		t.Fatalf("the peer saw %q", said)
	}
}

func TestUnknownFeature(t *testing.T) {
	if err := Feature("telepathy").probe(); err == nil {
		t.Fatal("a feature that nobody can probe was found")
	}
}
