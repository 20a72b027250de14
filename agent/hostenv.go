package agent

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/local"
	okernel "github.com/swarmnet/swarmnet/overlay/kernel"
)

// HostEnv is what the host says at this moment: its routes and interfaces.
func HostEnv(runDir string) (local.Env, error) {
	env := local.Env{Now: time.Now()}
	routes, err := okernel.New(okernel.Config{NetnsDir: Config{RunDir: runDir}.netnsDir()}).HostRoutes()
	if err != nil {
		return env, err
	}
	for _, r := range routes {
		env.Routes = append(env.Routes, r.Prefix)
	}
	links, err := net.Interfaces()
	if err != nil {
		return env, fmt.Errorf("the host's interfaces: %w", err)
	}
	for _, l := range links {
		if l.Name != okernel.HostLink {
			env.Links = append(env.Links, l.Name)
		}
	}
	return env, nil
}

// PortHolder says who has a port of the host: a service of the cluster, or any program; empty: nobody.
func (a *Agent) PortHolder(p swarmnet.PortSpec) string {
	set := a.Assigned()
	for _, s := range set.Services {
		for _, q := range s.IngressPorts() {
			if p.Clashes(q) {
				return "service " + s.Spec.Name
			}
		}
	}
	for _, t := range set.Tasks {
		for _, q := range t.Ports {
			if q.Mode == swarmnet.PublishHost && !t.Status.State.Terminal() && t.Desired <= swarmnet.DesireDraining && p.Clashes(q) {
				return "task " + t.Name()
			}
		}
	}
	// What we hold ourselves is given back a moment after its sandbox has ended, and what nobody is found to hold may just have been.
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if !inUse(p) {
			return ""
		}
		who, ours := programOn(p)
		if who != "" && !ours {
			return who
		}
		if time.Now().After(deadline) {
			return cmp.Or(who, "another program")
		}
	}
}

// inUse tries a port of the host by taking it for a moment.
func inUse(p swarmnet.PortSpec) bool {
	addrs := []netip.Addr{p.HostIP}
	if !p.HostIP.IsValid() || p.HostIP.IsUnspecified() {
		addrs = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
	for _, addr := range addrs {
		at := netip.AddrPortFrom(addr, p.Published).String()
		var c interface{ Close() error }
		var err error
		switch p.Protocol {
		case swarmnet.TCP:
			c, err = net.Listen("tcp"+family(addr), at)
		case swarmnet.UDP:
			c, err = net.ListenPacket("udp"+family(addr), at)
		default:
			continue
		}
		if err == nil {
			c.Close()
		} else if errors.Is(err, syscall.EADDRINUSE) {
			return true
		}
	}
	return false
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "4"
	}
	return "6"
}

// programOn names the program that has a port, as far as /proc tells (proc(5), /proc/net/tcp), and whether it is this one; empty: it does
// not tell.
func programOn(p swarmnet.PortSpec) (who string, ours bool) {
	inodes := socketsOn(p)
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return "", false
	}
	for _, fd := range fds {
		link, err := os.Readlink(fd)
		if err != nil || !slices.Contains(inodes, link) {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		name, _ := os.ReadFile("/proc/" + pid + "/comm")
		return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid), pid == strconv.Itoa(os.Getpid())
	}
	return "", false
}

// socketsOn are the sockets on a port, as the links of /proc/PID/fd name them.
func socketsOn(p swarmnet.PortSpec) []string {
	var out []string
	suffix := fmt.Sprintf(":%04X", p.Published)
	for _, f := range []string{"4", "6"} {
		name := "/proc/net/" + p.Protocol.String() + strings.TrimPrefix(f, "4")
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			col := strings.Fields(line)
			const listening, unconnected = "0A", "07"
			if len(col) > 9 && strings.HasSuffix(col[1], suffix) && (col[3] == listening || col[3] == unconnected) {
				out = append(out, "socket:["+col[9]+"]")
			}
		}
	}
	return out
}
