package parse

import (
	"strings"
	"testing"

	"github.com/swarmnet/swarmnet"
)

// oneLine fails when an error would take more than a line.
func oneLine(t *testing.T, err error) {
	t.Helper()
	if err != nil && (strings.ContainsAny(err.Error(), "\n\r") || err.Error() == "") {
		t.Fatalf("the error is not one line: %q", err)
	}
}

func FuzzIPAM(f *testing.F) {
	f.Add("10.0.0.0/24", "10.0.0.1", "10.0.0.128/25", "r=10.0.0.9")
	f.Add("fd00::/64", "fd00::1", "fd00::/80", "x=::1")
	f.Fuzz(func(t *testing.T, subnet, gateway, ipRange, aux string) {
		list := func(s string) []string {
			if s == "" {
				return nil
			}
			return []string{s}
		}
		out, err := IPAM(list(subnet), list(gateway), list(ipRange), list(aux))
		oneLine(t, err)
		for _, c := range out {
			if c.Gateway.IsValid() && !c.Subnet.Contains(c.Gateway) || c.Range.IsValid() && !c.Subnet.Contains(c.Range.Addr()) || c.Subnet != c.Subnet.Masked() {
				t.Fatalf("%+v", c)
			}
			for _, a := range c.Aux {
				if !c.Subnet.Contains(a) {
					t.Fatalf("%+v", c)
				}
			}
		}
	})
}

func FuzzValues(f *testing.F) {
	f.Add("a=1", "web=3", "db:10.0.0.1")
	f.Fuzz(func(t *testing.T, kv, scale, host string) {
		labels, err := Labels("label", []string{kv})
		oneLine(t, err)
		if err == nil && len(labels) != 1 {
			t.Fatalf("label %q gave %v", kv, labels)
		}
		env, err := Env([]string{kv}, func(string) (string, bool) { return "", false })
		oneLine(t, err)
		if err == nil && env[0] != kv {
			t.Fatalf("env %q gave %v", kv, env)
		}
		_, _, err = Scale(scale)
		oneLine(t, err)
		h, err := Host(host)
		oneLine(t, err)
		if err == nil && (h.Name == "" || !h.Addr.IsValid()) {
			t.Fatalf("host %q gave %v", host, h)
		}
		_, err = Addrs("dns", []string{host})
		oneLine(t, err)
		_, err = Tail(scale)
		oneLine(t, err)
	})
}

func FuzzHostPort(f *testing.F) {
	for _, s := range []string{"80", "8000-8010:80", "[::1]:8000-8001:80-81/udp", "127.0.0.1::53/udp", "published=1-2,target=1-2,mode=host", "80/sctp", ":::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, err := Publish(s)
		oneLine(t, err)
		ports, err := HostPort(s)
		oneLine(t, err)
		for _, p := range ports {
			if p.Target == 0 || p.Mode != swarmnet.PublishHost || p.PublishedTo != 0 && p.PublishedTo <= p.Published {
				t.Fatalf("%q gave %+v", s, p)
			}
		}
		_, _, err = TargetPort(s)
		oneLine(t, err)
	})
}
