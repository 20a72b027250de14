package parse

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
)

func noEnv(string) (string, bool) { return "", false }

// showSpec is the part of a spec that the network flags decide.
func showSpec(s swarmnet.SandboxSpec) string {
	var b strings.Builder
	fmt.Fprint(&b, s.Mode)
	if s.SharedWith != "" {
		fmt.Fprint(&b, ":", s.SharedWith)
	}
	for _, a := range s.Networks {
		fmt.Fprintf(&b, " %s", a.Network)
		if len(a.Aliases) > 0 {
			fmt.Fprintf(&b, " aliases=%v", a.Aliases)
		}
		if len(a.Addrs) > 0 {
			fmt.Fprintf(&b, " addrs=%v", a.Addrs)
		}
		if !a.MAC.IsZero() {
			fmt.Fprintf(&b, " mac=%s", a.MAC)
		}
		if a.GatewayPriority != 0 {
			fmt.Fprintf(&b, " gw=%d", a.GatewayPriority)
		}
	}
	return b.String()
}

func TestSandboxNetworks(t *testing.T) {
	type in = Sandbox
	for _, c := range []struct {
		in   Sandbox
		want string
	}{
		{in{}, "networks bridge"},
		{in{Networks: []string{"app"}}, "networks app"},
		{in{Networks: []string{"a", "b"}, IP: "10.0.0.9", Aliases: []string{"db"}}, "networks a aliases=[db] addrs=[10.0.0.9] b"},
		{in{Networks: []string{"a"}, IP: "10.0.0.9", IP6: "fd00::9", MAC: "02:00:00:00:00:01"}, "networks a addrs=[10.0.0.9 fd00::9] mac=02:00:00:00:00:01"},
		{in{Networks: []string{"name=a,alias=x,alias=y,ip=10.0.0.9,gw-priority=-1", "b,gw-priority=5,mac-address=02:00:00:00:00:02"}},
			"networks a aliases=[x y] addrs=[10.0.0.9] gw=-1 b mac=02:00:00:00:00:02 gw=5"},
		{in{Networks: []string{"none"}}, "none"},
		{in{Networks: []string{"host"}, DNS: []string{"192.0.2.53"}, Hostname: "h"}, "host"},
		{in{Networks: []string{"container:web"}}, "container:web"},
		{in{Networks: []string{"a", "a,alias=x"}}, "the network is given twice"},
		{in{Networks: []string{"host", "a"}}, "does not go with another --network"},
		{in{Networks: []string{"a", "none"}}, "does not go with another --network"},
		{in{Networks: []string{"container:"}}, "container:NAME is wanted"},
		{in{Networks: []string{"name=host,alias=x"}}, "host takes no settings"},
		{in{Networks: []string{""}}, "name has no value"},
		{in{Networks: []string{"a,ip=fd00::1"}}, `ip "fd00::1" is not an IPv4 address`},
		{in{Networks: []string{"a,ip=0.0.0.0"}}, "not an address for a sandbox"},
		{in{Networks: []string{"a,gw-priority=x"}}, "not a whole number"},
		{in{Networks: []string{"a,driver-opt=x"}}, `there is no key "driver-opt"`},
		{in{Networks: []string{"a,ip=10.0.0.1,ip=10.0.0.2"}}, "ip is given twice"},
		{in{Networks: []string{"a,ip=10.0.0.1"}, IP: "10.0.0.2"}, "give it once"},
		{in{Networks: []string{"a,alias=x"}, Aliases: []string{"y"}}, "give them in one place"},
		{in{Networks: []string{"a"}, MAC: "01:00:5e:00:00:01"}, "of a group"},
		{in{Networks: []string{"a"}, MAC: "x"}, "--mac-address"},
		{in{IP6: "10.0.0.1"}, `--ip6 "10.0.0.1" is not an IPv6 address`},
		{in{Networks: []string{"none"}, IP: "10.0.0.1"}, "--ip does not go with --network none"},
		{in{Networks: []string{"host"}, Publish: []string{"80"}}, "--publish does not go with --network host"},
		{in{Networks: []string{"container:web"}, Publish: []string{"80"}}, "--publish does not go with --network container:web"},
		{in{Networks: []string{"container:web"}, DNS: []string{"192.0.2.1"}}, "--dns does not go with"},
		{in{Networks: []string{"container:web"}, Hostname: "x"}, "--hostname does not go with"},
		{in{Networks: []string{"container:web"}, Aliases: []string{"x"}}, "--network-alias does not go with"},
		{in{Networks: []string{"container:web"}, Hosts: []string{"x:10.0.0.1"}}, "--add-host does not go with"},
	} {
		c.in.Command, c.in.StopTimeout = []string{"true"}, -1
		spec, err := c.in.Spec(noEnv)
		got := showSpec(spec)
		if err != nil {
			got = err.Error()
		}
		if (err != nil && !strings.Contains(got, c.want)) || (err == nil && got != c.want) {
			t.Errorf("%+v: got %s, want %s", c.in, got, c.want)
		}
	}
}

func TestSandboxSpec(t *testing.T) {
	spec, err := Sandbox{
		Name: "web", Publish: []string{"8080:80"}, DNS: []string{"192.0.2.53"}, DNSSearch: []string{"example.org"}, DNSOptions: []string{"ndots:2"},
		Hosts: []string{"db:192.0.2.9"}, Env: []string{"A=1"}, Labels: []string{"l=v"}, Restart: "on-failure:3", StopSignal: "int", StopTimeout: 3,
		Hostname: "h", Dir: "/tmp", Command: []string{"sleep", "1"},
	}.Spec(noEnv)
	got := fmt.Sprint(spec.Name, spec.Ports, spec.Task.DNS, spec.Task.Hosts, spec.Task.Env, spec.Task.Labels, spec.Task.Restart, spec.Task.StopSignal, spec.Task.StopGracePeriod, spec.Task.Hostname, spec.Task.Dir, spec.Task.Command)
	if want := "web[8080:80/tcp (host)]{[192.0.2.53] [example.org] [ndots:2]}[{db 192.0.2.9}][A=1]map[l:v]{on-failure 0s 3 0s}SIGINT3sh/tmp[sleep 1]"; err != nil || strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
	for _, in := range []Sandbox{{}, {Command: []string{""}}, {Command: []string{"x"}, StopTimeout: -2}, {Command: []string{"x"}, Hosts: []string{"db"}}, {Command: []string{"x"}, Labels: []string{"="}}} {
		if _, err := in.Spec(noEnv); err == nil {
			t.Errorf("%+v was taken", in)
		}
	}
}

func TestHostPort(t *testing.T) {
	for in, want := range map[string]string{
		"80":                             " 80/tcp",
		"80/udp":                         " 80/udp",
		"8080:80":                        " 8080:80/tcp",
		"127.0.0.1:8080:80":              "127.0.0.1 8080:80/tcp",
		"127.0.0.1::80/udp":              "127.0.0.1 80/udp",
		"0.0.0.0:8080:80":                " 8080:80/tcp",
		"[::1]:8080:80":                  "::1 8080:80/tcp",
		"[fd00::1]::80":                  "fd00::1 80/tcp",
		"8000-8002:8000-8002/udp":        " 8000:8000/udp  8001:8001/udp  8002:8002/udp",
		"192.0.2.1:8000-8001:80-81":      "192.0.2.1 8000:80/tcp 192.0.2.1 8001:81/tcp",
		"8000-8001":                      " 8000/tcp  8001/tcp",
		"target=80":                      " 80/tcp",
		"published=1,target=2,mode=host": " 1:2/tcp",
		"target=53,protocol=udp,ip=127.0.0.1,published=53": "127.0.0.1 53:53/udp",
		"":                              "target port",
		":80":                           "the published port is missing",
		"::80":                          `"" is not an IP address`,
		"::1:8080:80":                   "written in brackets: [::1]",
		"[::1:8080:80":                  "is not an IP address",
		"[127.0.0.1]:80:80":             "is not an IP address",
		"host:80:80":                    `"host" is not an IP address`,
		"[fe80::1%eth0]:80:80":          "is not an IP address",
		"8000-8010:80":                  " 8000-8010:80/tcp",
		"[::1]:8000-8001:80/udp":        "::1 8000-8001:80/udp",
		"published=8000-8001,target=80": " 8000-8001:80/tcp",
		"8000-8010:80-81":               "11 published ports for 2 target ports",
		"8010-8000:80":                  "runs backwards",
		"80:80/sctp":                    "sctp cannot be published for a sandbox",
		"target=80,protocol=sctp":       "sctp cannot be published for a sandbox",
		"80/quic":                       "quic",
		"target=80,mode=ingress":        "the mesh is for services",
		"70000:80":                      "not a number from 1 to 65535",
	} {
		ps, err := HostPort(in)
		var parts []string
		for _, p := range ps {
			addr := ""
			if p.HostIP.IsValid() {
				addr = p.HostIP.String()
			}
			if p.Mode != swarmnet.PublishHost {
				t.Errorf("%q: mode %s", in, p.Mode)
			}
			p.Mode = swarmnet.PublishIngress
			parts = append(parts, addr+" "+p.String())
		}
		got := strings.Join(parts, " ")
		if err != nil {
			got = err.Error()
		}
		if (err != nil && !strings.Contains(got, want)) || (err == nil && got != want) {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if _, err := HostPorts([]string{"8080:80", "127.0.0.1:8080:81"}); err == nil {
		t.Error("a port on every address and on one was taken")
	}
	if _, err := HostPorts([]string{"127.0.0.1:8080:80", "127.0.0.2:8080:80", "8080:80/udp"}); err != nil {
		t.Error(err)
	}
}

func TestSmallValues(t *testing.T) {
	for _, c := range []struct{ name, got, want string }{
		{"no restart", show(restart("")), "{none 0s 0 0s}"},
		{"always", show(restart("always")), "{any 0s 0 0s} with the daemon"},
		{"unless-stopped", show(restart("unless-stopped")), "{any 0s 0 0s}"},
		{"on-failure", show(restart("on-failure:5")), "{on-failure 0s 5 0s}"},
		{"restart always:3", show(restart("always:3")), "one of no, on-failure[:N]"},
		{"restart on-failure:0", show(restart("on-failure:0")), "not a number of restarts"},
		{"signal name", show(Signal("signal", "hup")), "SIGHUP"},
		{"signal number", show(Signal("signal", "15")), "SIGTERM"},
		{"signal none", show(Signal("signal", "")), ""},
		{"signal unknown", show(Signal("signal", "SIGNOPE")), "is not a signal"},
		{"signal 0", show(Signal("signal", "0")), "is not a signal"},
		{"tail all", show(Tail("all")), "0"},
		{"tail 5", show(Tail("5")), "5"},
		{"tail 0", show(Tail("0")), "a number of lines"},
		{"tail -1", show(Tail("-1")), "a number of lines"},
	} {
		if !strings.Contains(c.got, c.want) {
			t.Errorf("%s: got %s, want %s", c.name, c.got, c.want)
		}
	}
	for in, want := range map[string]string{"80": "80/tcp", "53/udp": "53/udp", "x": "error", "80/x": "error", "0": "error", "": "error"} {
		n, proto, err := TargetPort(in)
		got := fmt.Sprintf("%d/%s", n, proto)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("port %q: got %s, want %s", in, got, want)
		}
	}
}

// Whatever is said, the answer is one whole spec or one line.
func FuzzSandbox(f *testing.F) {
	f.Add("app,alias=db,ip=10.0.0.9", "8080:80", "db:10.0.0.1", "on-failure:3", "HUP", "10.0.0.1", "02:00:00:00:00:01", 10)
	f.Add("container:web", "[::1]:80-82:80-82/udp", "x=::1", "always", "9", "", "", -1)
	f.Add("none", "published=1,target=2,ip=::1", "", "", "", "", "", 0)
	f.Fuzz(func(t *testing.T, network, publish, host, restart, signal, ip, mac string, timeout int) {
		in := Sandbox{Networks: []string{network}, Publish: []string{publish}, Hosts: []string{host}, Restart: restart, StopSignal: signal, IP: ip, MAC: mac, StopTimeout: timeout, Command: []string{"x"}}
		spec, err := in.Spec(noEnv)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("the error has several lines: %q", err)
			}
			return
		}
		if (spec.Mode == swarmnet.ModeNetworks) != (len(spec.Networks) == 1) || (spec.Mode == swarmnet.ModeShared) != (spec.SharedWith != "") {
			t.Fatalf("%+v gave %+v", in, spec)
		}
		if len(spec.Ports) == 0 && spec.Mode == swarmnet.ModeNetworks {
			t.Fatalf("--publish %q was dropped", publish)
		}
		for _, p := range spec.Ports {
			if p.Target == 0 || p.Mode != swarmnet.PublishHost {
				t.Fatalf("--publish %q gave %+v", publish, p)
			}
		}
	})
}

func FuzzTargetPort(f *testing.F) {
	f.Add("80/tcp")
	f.Fuzz(func(t *testing.T, s string) {
		if n, _, err := TargetPort(s); (n == 0) != (err != nil) {
			t.Fatalf("%q: %d %v", s, n, err)
		}
	})
}

// restart reads a policy as text.
func restart(s string) (string, error) {
	p, withDaemon, err := Restart(s)
	text := fmt.Sprint(p)
	if withDaemon {
		text += " with the daemon"
	}
	return text, err
}

func TestLines(t *testing.T) {
	const text = "\ufeff# a comment\n\nA=1\r\n  B=two words \nKEY\n"
	got, err := Lines("env-file", text)
	if err != nil || strings.Join(got, "|") != "A=1|B=two words |KEY" {
		t.Errorf("%q, %v", got, err)
	}
	for text, want := range map[string]string{"A B=1": `line 1, "A B=1"`, "\n=x": "line 2", "A\xff": "no UTF-8"} {
		if _, err := Lines("env-file", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestMoment(t *testing.T) {
	now := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"": {}, "10m": now.Add(-10 * time.Minute), "2030-01-01T00:00:00Z": now.Add(-36 * time.Hour), "2030-01-01": now.Add(-36 * time.Hour),
		"2030-01-01T12:00": now.Add(-24 * time.Hour), "1000000000": time.Unix(1e9, 0), "1000000000.5": time.Unix(1e9, 5e8), "2030-01-02T12:00:00.25+01:00": now.Add(250*time.Millisecond - time.Hour),
	} {
		if got, err := Moment("since", s, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"yesterday", "12:00", "1.2.3", "-5", "1e9", "10000000000000000000"} {
		if got, err := Moment("since", s, now); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}
