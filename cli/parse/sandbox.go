package parse

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/swarmnet/swarmnet"
)

// Sandbox is what was said on the command line of `run`, as text.
type Sandbox struct {
	Name, Hostname, Dir, User         string
	Stdin, TTY                        bool
	Networks, Aliases                 []string
	IP, IP6, MAC                      string
	Publish                           []string
	DNS, DNSSearch, DNSOptions, Hosts []string
	Env, Labels                       []string
	EnvLines, LabelLines              []string // of files: what is in Env and Labels comes after
	Restart, StopSignal               string
	StopTimeout                       int // seconds; -1: not said
	Command                           []string
}

// Spec puts it together. lookup gives the caller's value of an environment variable. Networks and the sandbox whose stack is shared are
// references still.
func (in Sandbox) Spec(lookup func(string) (string, bool)) (swarmnet.SandboxSpec, error) {
	out := swarmnet.SandboxSpec{Name: in.Name, Task: swarmnet.TaskSpec{
		Command: in.Command, Hostname: in.Hostname, Dir: in.Dir, Stdin: in.Stdin, TTY: in.TTY,
		DNS: swarmnet.DNSConfig{Search: in.DNSSearch, Options: in.DNSOptions},
	}}
	if len(in.Command) == 0 || in.Command[0] == "" {
		return out, errors.New("the command is missing: give it last, after -- if it begins with a dash")
	}
	steps := []func() error{
		func() error { return in.attach(&out) },
		func() (err error) { out.Ports, err = HostPorts(in.Publish); return err },
		func() (err error) { out.Task.DNS.Servers, err = Addrs("dns", in.DNS); return err },
		func() (err error) {
			out.Task.Env, err = Env(append(slices.Clip(in.EnvLines), in.Env...), lookup)
			return err
		},
		func() (err error) { out.Task.Labels, err = in.labels(); return err },
		func() (err error) { out.Task.User, err = User(in.User); return err },
		func() (err error) { out.Task.Hosts, err = ExtraHosts(in.Hosts); return err },
		func() (err error) { out.Task.Restart, out.StartWithDaemon, err = Restart(in.Restart); return err },
		func() (err error) { out.Task.StopSignal, err = Signal("stop-signal", in.StopSignal); return err },
		func() (err error) { out.Task.StopGracePeriod, err = stopTimeout(in.StopTimeout); return err },
		func() error { return in.exclusions(out.Mode) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return swarmnet.SandboxSpec{}, err
		}
	}
	return out, nil
}

// labels are those of files and flags: what is said later counts.
func (in Sandbox) labels() (map[string]string, error) {
	out, err := Labels("label", in.Labels)
	for _, line := range in.LabelLines {
		k, v, _ := strings.Cut(line, "=")
		if strings.TrimSpace(k) == "" {
			return nil, fmt.Errorf("--label-file: %q: the key is missing: KEY=VALUE is wanted", line)
		}
		if out == nil {
			out = map[string]string{}
		}
		if _, said := out[k]; !said {
			out[k] = v
		}
	}
	return out, err
}

// exclusions refuses what cannot have an effect in a stack that is not the sandbox's own.
func (in Sandbox) exclusions(mode swarmnet.NetworkMode) error {
	type flag struct {
		name  string
		given bool
	}
	flags := []flag{{"ip", in.IP != ""}, {"ip6", in.IP6 != ""}, {"mac-address", in.MAC != ""}, {"network-alias", len(in.Aliases) > 0}}
	why := ""
	switch mode {
	case swarmnet.ModeNetworks:
		return nil
	case swarmnet.ModeNone:
		why = "it has no endpoint until it is connected somewhere: say it to `swarmnet network connect`"
	case swarmnet.ModeHost:
		flags = append(flags, flag{"publish", len(in.Publish) > 0})
		why = "it has the host's stack: what it listens on is the host's port already"
	case swarmnet.ModeShared:
		flags = append(flags, flag{"publish", len(in.Publish) > 0}, flag{"dns", len(in.DNS) > 0}, flag{"dns-search", len(in.DNSSearch) > 0},
			flag{"dns-option", len(in.DNSOptions) > 0}, flag{"add-host", len(in.Hosts) > 0}, flag{"hostname", in.Hostname != ""})
		why = "it has the other sandbox's stack: say it when that one is made"
	}
	for _, f := range flags {
		if f.given {
			return fmt.Errorf("--%s does not go with --network %s: %s", f.name, in.Networks[0], why)
		}
	}
	return nil
}

// ExtraHosts reads every --add-host: NAME:ADDRESS.
func ExtraHosts(args []string) ([]swarmnet.HostEntry, error) {
	var out []swarmnet.HostEntry
	for _, s := range args {
		e, err := Host("add-host", s)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// Restart reads --restart: no, on-failure[:N], always or unless-stopped. With always, what was stopped is started with the daemon.
func Restart(s string) (policy swarmnet.RestartPolicy, withDaemon bool, err error) {
	none := swarmnet.RestartPolicy{Condition: swarmnet.RestartNone}
	kind, count, counted := strings.Cut(s, ":")
	switch {
	case counted && kind != "on-failure":
	case kind == "", kind == "no":
		return none, false, nil
	case kind == "always", kind == "unless-stopped":
		return swarmnet.RestartPolicy{Condition: swarmnet.RestartAny}, kind == "always", nil
	case kind == "on-failure":
		p := swarmnet.RestartPolicy{Condition: swarmnet.RestartOnFailure}
		if counted {
			n, err := number(count)
			if err != nil || n == 0 {
				return none, false, fmt.Errorf("--restart %q: %q is not a number of restarts", s, count)
			}
			p.MaxAttempts = n
		}
		return p, false, nil
	}
	return none, false, fmt.Errorf("--restart %q: one of no, on-failure[:N], always, unless-stopped is wanted", s)
}

func stopTimeout(seconds int) (time.Duration, error) {
	if seconds == -1 {
		return 10 * time.Second, nil
	}
	return Seconds("stop-timeout", seconds)
}

// Seconds reads a number of seconds that may not be negative.
func Seconds(flag string, seconds int) (time.Duration, error) {
	if seconds < 0 || seconds > 1<<31 {
		return 0, fmt.Errorf("--%s %d: a number of seconds from 0 is wanted", flag, seconds)
	}
	return time.Duration(seconds) * time.Second, nil
}
