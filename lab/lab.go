package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Lab is a running lab.
type Lab struct {
	Name string
	dir  string
	rec  record
	hold *channel // of a bound lab
}

// ErrNoLab says that there is no lab of a name.
var ErrNoLab = errors.New("no such lab")

// Up makes a lab and, unless it is to have no cluster, forms the cluster in it. What was begun is taken down again on failure.
func Up(ctx context.Context, c Config) (*Lab, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	l, err := start(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := l.populate(ctx, c); err != nil {
		return nil, errors.Join(err, l.Down())
	}
	return l, nil
}

// start makes the directory and the supervisor of a lab.
func start(ctx context.Context, c Config) (*Lab, error) {
	l := &Lab{Name: c.Name, dir: dirFor(c.Name, os.Getuid())}
	err := claimDir(l.dir)
	if errors.Is(err, fs.ErrExist) {
		if rec, ok := loadRecord(l.dir); ok && rec.alive() {
			return nil, fmt.Errorf("the lab %q is up already: take it down with `%s`, or choose another --name", c.Name, CommandLine(c.Name, "down"))
		}
		c.Progress("removing what an earlier lab left")
		if err := Down(c.Name); err != nil {
			return nil, err
		}
		err = claimDir(l.dir)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make the lab's directory: %w", err)
	}
	if err := l.startSupervisor(ctx, c); err != nil {
		return nil, errors.Join(err, Down(c.Name))
	}
	return l, nil
}

// startSupervisor starts pid 1 of the lab in new namespaces. It waits until the record names it, so that no lab is ever without one.
func (l *Lab) startSupervisor(ctx context.Context, c Config) error {
	if err := writeNodeFiles(l.dir, c.Underlay); err != nil {
		return err
	}
	arg, err := json.Marshal(supervisorSpec{Dir: l.dir, Binary: c.Binary, Underlay: c.Underlay})
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(l.dir, "lab.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	conn, child, err := syncPair()
	if err != nil {
		return err
	}
	defer conn.Close()
	defer child.Close()
	cmd := exec.Command(c.Binary, supervisorCommand, string(arg)) // not CommandContext: it outlives us
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = "/", log, log, []*os.File{child}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return explainStart(err)
	}
	child.Close()
	l.rec = record{PID: cmd.Process.Pid, Start: startTime(cmd.Process.Pid), Binary: c.Binary, Underlay: c.Underlay, DaemonArgs: c.daemonArgs()}
	go cmd.Wait() //nolint:errcheck // reaps it, should it end before we do
	if err := l.rec.save(l.dir); err != nil {
		return err
	}
	if err := handshake(conn, 20*time.Second); err != nil {
		return fmt.Errorf("the lab does not start: %w", explainStart(err))
	}
	if !c.Bound {
		return nil
	}
	hold, err := dial(supervisorSocket(l.dir))
	if err != nil {
		return err
	}
	l.hold = &hold
	if err := hold.send(request{Op: "hold"}); err != nil {
		return err
	}
	_, err = hold.receive(&reply{})
	return err
}

// explainStart adds the cure to an error of making namespaces.
func explainStart(err error) error {
	denied := errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), "operation not permitted") || strings.Contains(err.Error(), "permission denied")
	switch {
	case denied && os.Geteuid() != 0:
		return fmt.Errorf("an ordinary user needs user namespaces here, and this machine refuses them (%w): run as root, or allow them (user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)", err)
	case denied:
		return fmt.Errorf("root lacks privileges here (%w): the lab needs CAP_SYS_ADMIN and CAP_NET_ADMIN, in a container `--privileged`", err)
	case errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("this kernel lacks a kind of namespace (%w): user, pid, mount, network and uts namespaces are needed", err)
	}
	return err
}

// writeNodeFiles writes what the nodes see as /etc/resolv.conf and /etc/hosts. There is no name server on the underlay.
func writeNodeFiles(dir string, u Underlay) error {
	var hosts strings.Builder
	hosts.WriteString("127.0.0.1 localhost\n::1 localhost\n")
	for i := 1; i <= maxNodes; i++ {
		u.writeHost(&hosts, nodeName(i))
	}
	u.writeHost(&hosts, Outside)
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte("# a lab has no name server of its own\nnameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "hosts"), []byte(hosts.String()), 0o644),
	)
}

func (u Underlay) writeHost(w io.Writer, node string) {
	for _, p := range u.prefixes(node) {
		fmt.Fprintln(w, p.Addr(), node)
	}
}

// Addr is the underlay address of a node that the cluster uses, of IPv6 in a lab that has it.
func (l *Lab) Addr(node string) netip.Addr { return l.rec.Addr(node) }

// Open returns a running lab.
func Open(name string) (*Lab, error) {
	c, err := Config{Name: name, Binary: "/"}.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Lab{Name: c.Name, dir: dirFor(c.Name, os.Getuid())}
	if err := checkDir(l.dir); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s: start it with `%s`", ErrNoLab, name, CommandLine(name, "up"))
	} else if err != nil {
		return nil, err
	}
	rec, ok := loadRecord(l.dir)
	if !ok || !rec.alive() {
		return nil, fmt.Errorf("the lab %s has died: remove what it left with `%s`, or start it anew with `%s`", name, CommandLine(name, "down"), CommandLine(name, "up"))
	}
	l.rec = rec
	return l, nil
}

// Down ends a lab, in whatever state it is, and returns when its processes are gone and its files removed. That there is none is no error.
func Down(name string) error {
	dir := dirFor(name, os.Getuid())
	if err := checkDir(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if rec, ok := loadRecord(dir); ok {
		if err := rec.end(30 * time.Second); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("cannot remove the lab's files: %w", err)
	}
	return nil
}

// Down ends the lab.
func (l *Lab) Down() error {
	err := Down(l.Name)
	if l.hold != nil {
		l.hold.conn.Close()
	}
	return err
}

// Names lists the labs of this user, dead ones included.
func Names() ([]string, error) {
	prefix := dirPrefix(os.Getuid())
	dirs, err := filepath.Glob(prefix + "*")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, d := range dirs {
		if name := strings.TrimPrefix(d, prefix); validName.MatchString(name) && checkDir(d) == nil {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// Release lets go of a bound lab, which ends as if its maker had died.
func (l *Lab) Release() error {
	if l.hold == nil {
		return errors.New("the lab is not bound to this process")
	}
	return l.hold.conn.Close()
}
