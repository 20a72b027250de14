package parse

import (
	"strings"
	"testing"
	"time"

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
		h, err := Host("host", host)
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

func FuzzSandboxFlags(f *testing.F) {
	for _, s := range []string{"no", "on-failure:3", "always", "HUP", "9", "8080:80/udp", "[::1]:8000-8001:80-81", "mynet,alias=a,ip=10.0.0.1", "container:db", "nobody:staff", "10m", "2030-01-01T00:00:00Z", "1000000000.5", "A=1\n# x\nB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, withDaemon, err := Restart(s)
		oneLine(t, err)
		if err == nil && withDaemon != (s == "always") || err != nil && p.Condition != swarmnet.RestartNone {
			t.Fatalf("restart %q: %v %v", s, p, withDaemon)
		}
		name, err := Signal("signal", s)
		oneLine(t, err)
		if again, err2 := Signal("signal", name); err == nil && (err2 != nil || again != name) {
			t.Fatalf("signal %q is %q, and that %q", s, name, again)
		}
		a, err := SandboxAttachment(s)
		oneLine(t, err)
		if err == nil && a.Network == "" {
			t.Fatalf("network %q has no name", s)
		}
		_, err = Attachment(s)
		oneLine(t, err)
		_, err = EndpointFlags(s, s)
		oneLine(t, err)
		_, err = GatewayPriority(s)
		oneLine(t, err)
		_, err = ExtraHosts([]string{s})
		oneLine(t, err)
		_, err = Prefix("subnet", s)
		oneLine(t, err)
		user, err := User(s)
		oneLine(t, err)
		if err == nil && user != s {
			t.Fatalf("user %q is %q", s, user)
		}
		_, err = Moment("since", s, time.Unix(1e9, 0))
		oneLine(t, err)
		lines, err := Lines("env-file", s)
		oneLine(t, err)
		for _, l := range lines {
			if l == "" || l[0] == '#' || strings.ContainsAny(l, "\n") {
				t.Fatalf("lines of %q: %q", s, lines)
			}
		}
	})
}
