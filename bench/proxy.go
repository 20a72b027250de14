package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/swarmnet/swarmnet/internal/netns"
)

// findProxy finds HAProxy, or installs Debian's when it is root's to do.
func findProxy(ctx context.Context) (string, error) {
	for _, path := range []string{"haproxy", "/usr/sbin/haproxy"} {
		if found, err := exec.LookPath(path); err == nil {
			return found, nil
		}
	}
	if os.Geteuid() != 0 {
		return "", errors.New("haproxy is not installed, and only root can install it: apt-get install haproxy")
	}
	install := exec.CommandContext(ctx, "apt-get", "install", "-y", "-q", "--no-install-recommends", "haproxy")
	install.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if _, err := output(install); err != nil {
		update := exec.CommandContext(ctx, "apt-get", "-q", "update")
		again := exec.CommandContext(ctx, "apt-get", install.Args[1:]...)
		again.Env = install.Env
		if _, uerr := output(update); uerr != nil {
			return "", errors.Join(err, uerr)
		}
		if _, err := output(again); err != nil {
			return "", err
		}
	}
	return exec.LookPath("/usr/sbin/haproxy")
}

// runProxy runs HAProxy in a namespace, in TCP mode, from the ports to the addresses. It returns its process id.
func runProxy(ctx context.Context, path, dir, ns string, ports map[int]netip.AddrPort) (pid int, err error) {
	var b strings.Builder
	b.WriteString("global\n\tmaxconn 2000\ndefaults\n\tmode tcp\n\ttimeout connect 5s\n\ttimeout client 60s\n\ttimeout server 60s\n")
	var one int
	for port, to := range ports {
		fmt.Fprintf(&b, "listen p%d\n\tbind 0.0.0.0:%d\n\tserver s %s\n", port, port, to)
		one = port
	}
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, path, "-db", "-q", "-f", file)
	cmd.Stderr = os.Stderr
	// A child is in the namespace of the thread that starts it. It ends with that thread, too, so with this process at the latest; until then the
	// thread waits for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		err := netns.Do(ns, func() error {
			err := cmd.Start()
			if err == nil {
				started <- nil
				err = cmd.Wait()
			}
			return err
		})
		select {
		case started <- err: // it did not come to that
		default:
		}
	}()
	if err := <-started; err != nil {
		return 0, err
	}
	return cmd.Process.Pid, until(ctx, 10*time.Second, "haproxy listens", func() (bool, error) {
		var c net.Conn
		err := netns.Do(ns, func() (err error) {
			c, err = net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", one), time.Second)
			return err
		})
		if err == nil {
			c.Close()
		}
		return err == nil, nil
	})
}
