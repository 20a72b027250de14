package kernel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/swarmnet/swarmnet/doctor"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// vxlanPort finds out who has the UDP port of VXLAN traffic in the host's namespace. Our devices live in the fabric, but their sockets are
// where the devices were made: the host.
func (o *observer) vxlanPort(host *nl.Conn) (doctor.Port, error) {
	p := doctor.Port{Number: o.cfg.Port, Ours: o.ours()}
	inodes, err := udpSockets(host, o.cfg.Port)
	if err != nil || len(inodes) == 0 {
		return p, err
	}
	if who := program(inodes); who != "" {
		p.Holder = who
		return p, nil
	}
	links, err := host.Links()
	if err != nil {
		return p, err
	}
	for _, l := range links {
		if l.VXLAN != nil && l.VXLAN.Port == o.cfg.Port {
			p.Holder = "the VXLAN device " + l.Name
			return p, nil
		}
	}
	if !p.Ours {
		p.Holder = "a program that cannot be seen from here, or a VXLAN device elsewhere"
	}
	return p, nil
}

// udpSockets are the inodes of the sockets bound to a UDP port, as /proc/net/udp lists them (proc(5)).
func udpSockets(host *nl.Conn, port uint16) (inodes []string, err error) {
	err = host.NS().Do(func() error {
		for _, name := range []string{"udp", "udp6"} {
			b, err := os.ReadFile("/proc/thread-self/net/" + name)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			for _, line := range strings.Split(string(b), "\n")[1:] {
				f := strings.Fields(line)
				if len(f) < 10 {
					continue
				}
				_, hex, _ := strings.Cut(f[1], ":")
				if n, err := strconv.ParseUint(hex, 16, 16); err == nil && uint16(n) == port {
					inodes = append(inodes, f[9])
				}
			}
		}
		return nil
	})
	return inodes, err
}

// program names the program that has one of the sockets open; empty: none that can be seen has.
func program(inodes []string) string {
	want := map[string]bool{}
	for _, i := range inodes {
		want["socket:["+i+"]"] = true
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && want[to] {
			dir := filepath.Dir(filepath.Dir(fd))
			comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
			return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(comm)), filepath.Base(dir))
		}
	}
	return ""
}
