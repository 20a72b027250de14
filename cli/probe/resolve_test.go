package probe

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestResolve(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // a number that is free
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	var many []netip.Addr
	for i := range 60 {
		many = append(many, netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}))
	}
	var asked bytes.Buffer
	n := &Nameserve{Addr: addr, Out: &asked, Rcodes: map[string]int{"bad.example.": dns.RcodeServerFailure},
		Names: map[string][]netip.Addr{"a.example.": {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}, "many.example.": many}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	for _, c := range []struct {
		name, qtype string
		tcp         bool
		edns        uint16
		want        string
	}{
		{"A.example", "A", false, 0, "NOERROR [192.0.2.1] [] false"},
		{"a.example", "aaaa", true, 0, "NOERROR [2001:db8::1] [] false"},
		{"a.example", "MX", false, 0, "NOERROR [] [] false"},
		{"none.example", "A", false, 0, "NXDOMAIN [] [SOA] false"},
		{"bad.example", "A", false, 0, "SERVFAIL [] [] false"},
		{"many.example", "A", false, 0, "true"},
		{"many.example", "A", false, 4096, "192.0.2.9] [] false"},
		{"many.example", "A", true, 0, "192.0.2.9] [] false"},
	} {
		var r Resolved
		for deadline := time.Now().Add(5 * time.Second); ; { // until it listens
			if r, err = Resolve(t.Context(), addr, c.name, c.qtype, c.tcp, c.edns); err != nil {
				t.Fatal(err)
			}
			if r.Err == "" || time.Now().After(deadline) {
				break
			}
		}
		if got := fmt.Sprint(r.Rcode, " ", r.Answers, " ", r.Authority, " ", r.Truncated); !strings.HasSuffix(got, c.want) {
			t.Errorf("%+v: %s", c, got)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !strings.Contains(asked.String(), `{"Name":"none.example.","Type":"A"`) {
		t.Errorf("noted %s", asked.String())
	}
}

func TestParseRoutes(t *testing.T) {
	got, err := parseRoutes("Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n" +
		"eth0\t00000000\t01001EAC\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth0\t00001EAC\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")
	want := []Route{{"0.0.0.0/0", "172.30.0.1", "eth0"}, {"172.30.0.0/24", "", "eth0"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if _, err := OwnStack(); err != nil {
		t.Error(err)
	}
}
