package parse

import (
	"fmt"
	"strings"
	"testing"
)

func show(v any, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	return fmt.Sprint(v)
}

func TestPublish(t *testing.T) {
	for in, want := range map[string]string{
		"80":                   "[80/tcp]",
		"8080:80":              "[8080:80/tcp]",
		"8080:80/udp":          "[8080:80/udp]",
		"53:53/UDP":            "[53:53/udp]",
		"8080-8082:80-82":      "[8080:80/tcp 8081:81/tcp 8082:82/tcp]",
		"0:80":                 "[80/tcp]",
		"target=80":            "[80/tcp]",
		"published=1,target=2": "[1:2/tcp]",
		"published=8080,target=80,protocol=udp,mode=host": "[8080:80/udp (host)]",
		"mode=host,ip=192.0.2.1,published=8080,target=80": "[8080:80/tcp (host)]",
		"":                       `the target port "" is not a number from 1 to 65535`,
		":80":                    "the published port is missing",
		"80:":                    `the target port "" is not`,
		"x:80":                   `the published port "x" is not`,
		"70000":                  `the target port "70000" is not`,
		"-1:80":                  `the published port "" is not`,
		"+1:80":                  `the published port "+1" is not`,
		"80/quic":                `"quic" is not a protocol`,
		"192.0.2.1:80:80":        "host mode",
		"8080-8081:80":           "2 published ports for 1 target ports",
		"82-80":                  "runs backwards",
		"published=8080":         "target is missing",
		"target=80,target=81":    "target is given twice",
		"target=80,foo=1":        `there is no key "foo"`,
		"target=80,ip=192.0.2.1": "mode=host only",
		"target=80,mode=mesh":    `"mesh" is not a publish mode`,
	} {
		p, err := Publish(in)
		if got := show(p, err); !strings.Contains(got, want) || (err == nil && got != want) {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func TestPublishTwice(t *testing.T) {
	for in, ok := range map[string]bool{
		"8080:80 8080:81":         false,
		"8080:80 8080:80":         true, // one port (S12)
		"8080:80 8080:80/udp":     true,
		"80 80":                   true, // two ports, each chosen by the cluster
		"8080-8082:80-82 8081:90": false,
		"mode=host,ip=192.0.2.1,published=1,target=1 mode=host,ip=192.0.2.2,published=1,target=1": true,
		"mode=host,ip=192.0.2.1,published=1,target=1 mode=host,published=1,target=1":              false,
	} {
		if _, err := AllPublish(strings.Fields(in)); (err == nil) != ok {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func FuzzPublish(f *testing.F) {
	for _, s := range []string{"8080:80/tcp", "published=1,target=2,mode=host,ip=::1", "1-9:1-9", "-", ":", "=", ","} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ps, err := Publish(s)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("the error has several lines: %q", err)
			}
			return
		}
		if len(ps) == 0 {
			t.Fatalf("%q was taken and gave nothing", s)
		}
		for _, p := range ps {
			if p.Target == 0 {
				t.Fatalf("%q gave target port 0", s)
			}
		}
	})
}

func TestAttachment(t *testing.T) {
	for in, want := range map[string]string{
		"app":                      "{app []}",
		"app,alias=db":             "{app [db]}",
		"name=app,alias=a,alias=b": "{app [a b]}",
		"":                         `error: --network "": "" is not understood`,
		"alias=x":                  "the network's name is missing",
		"app,foo":                  `"foo" is not understood`,
		"app,name=other":           `"name=other" is not understood`,
		"app,alias=":               `"alias=" is not understood`,
		"app,driver-opt=x":         `"driver-opt=x" is not understood`,
	} {
		a, err := Attachment(in)
		if got := show(fmt.Sprintf("{%s %v}", a.Network, a.Aliases), err); !strings.Contains(got, want) {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
	if _, err := Attachments([]string{"a", "a,alias=x"}); err == nil {
		t.Error("a network twice was taken")
	}
}

func FuzzAttachment(f *testing.F) {
	f.Add("app,alias=db")
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := Attachment(s); err == nil && a.Network == "" {
			t.Fatalf("%q gave no network", s)
		}
	})
}

func TestValues(t *testing.T) {
	lookup := func(k string) (string, bool) { return "here", k == "SET" }
	for _, c := range []struct {
		name string
		got  string
		want string
	}{
		{"labels", show(Labels("label", []string{"a=1", "b"})), "map[a:1 b:]"},
		{"label without key", show(Labels("label", []string{"=1"})), "the key is missing"},
		{"label twice", show(Labels("label", []string{"a=1", "a=2"})), "a is given twice"},
		{"env", show(Env([]string{"A=1", "SET", "A=2"}, lookup)), "[A=2 SET=here]"},
		{"env unset", show(Env([]string{"UNSET"}, lookup)), "no such variable"},
		{"env without name", show(Env([]string{"=x"}, lookup)), "the name is missing"},
		{"host", show(Host("host", "db:10.0.0.1")), "{db 10.0.0.1}"},
		{"host v6", show(Host("host", "db:::1")), "{db ::1}"},
		{"host bad", show(Host("host", "db:x")), `"x" is not an IP address`},
		{"host without address", show(Host("host", "db")), "NAME:ADDRESS is wanted"},
		{"dns", show(Addrs("dns", []string{"192.0.2.1", "nope"})), `--dns "nope" is not an IP address`},
		{"prefix", show(Prefix("subnet", "10.0.0.1/24")), "is 10.0.0.0/24 meant?"},
		{"ipam", show(IPAM([]string{"10.0.0.0/24"}, []string{"10.0.0.254"}, []string{"10.0.0.128/25"}, []string{"r=10.0.0.9"})), "[{10.0.0.0/24 10.0.0.254 10.0.0.128/25 map[r:10.0.0.9]}]"},
		{"gateway outside", show(IPAM([]string{"10.0.0.0/24"}, []string{"10.0.1.1"}, nil, nil)), "--gateway 10.0.1.1 is outside the subnet 10.0.0.0/24"},
		{"gateway alone", show(IPAM(nil, []string{"10.0.1.1"}, nil, nil)), "needs the --subnet"},
		{"two gateways", show(IPAM([]string{"10.0.0.0/24"}, []string{"10.0.0.1", "10.0.0.2"}, nil, nil)), "has the gateway 10.0.0.1 already"},
		{"range wider", show(IPAM([]string{"10.0.0.0/24"}, nil, []string{"10.0.0.0/16"}, nil)), "is outside the subnet"},
		{"subnets overlap", show(IPAM([]string{"10.0.0.0/16", "10.0.1.0/24"}, nil, nil, nil)), "overlaps --subnet 10.0.0.0/16"},
	} {
		if !strings.Contains(c.got, c.want) {
			t.Errorf("%s: got %s, want %s", c.name, c.got, c.want)
		}
	}
}

func TestScale(t *testing.T) {
	for in, want := range map[string]string{"web=3": "web 3", "web=0": "web 0", "web": "wanted", "=3": "wanted", "web=-1": "not a number", "web=3x": "not a number", "web=": "not a number", "web=03": "not a number"} {
		name, n, err := Scale(in)
		if got := show(fmt.Sprint(name, " ", n), err); !strings.Contains(got, want) {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}
