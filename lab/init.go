package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const underlayDevice = "eth0"

// initSpec is what a node's pid 1 is told.
type initSpec struct {
	Dir    string
	Name   string
	Binary string
	Underlay
}

// nodeInit is pid 1 of a node: it reaps, runs what clients ask it to, and starts and stops the node's daemon.
type nodeInit struct {
	initSpec
	children *children

	mu     sync.Mutex
	daemon daemonProcess
}

func initNode(spec initSpec) error {
	conn, err := await() // until our link is there
	if err != nil {
		return err
	}
	n := &nodeInit{initSpec: spec, children: newChildren()}
	listener, err := n.setUp()
	if err := tell(conn, err); err != nil {
		return err
	}
	stop := make(chan struct{})
	defer close(stop)
	go n.children.run(stop)
	return serve(listener, n.handle)
}

func (n *nodeInit) setUp() (*net.UnixListener, error) {
	if err := privateMounts(); err != nil {
		return nil, err
	}
	if err := nodeMounts(n.Dir); err != nil {
		return nil, err
	}
	if err := unix.Sethostname([]byte(n.Name)); err != nil {
		return nil, fmt.Errorf("cannot set the hostname: %w", err)
	}
	// Anybody may ping: a node's user namespace has one user.
	os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0) //nolint:errcheck // a convenience
	if err := n.setUpLinks(); err != nil {
		return nil, err
	}
	return listen(nodeSocket(n.Dir, n.Name))
}

func (n *nodeInit) setUpLinks() error {
	links, err := openLinks()
	if err != nil {
		return err
	}
	defer links.close()
	for _, dev := range []string{"lo", underlayDevice} {
		if err := links.up(dev); err != nil {
			return err
		}
	}
	for _, p := range n.prefixes(n.Name) {
		if err := links.addAddr(underlayDevice, p); err != nil {
			return err
		}
	}
	return nil
}

// segmentUnderlay has every packet that leaves the node be of the size that it would have on a wire: what is yet to be cut passes links that are too
// small for its pieces.
func segmentUnderlay() error {
	links, err := openLinks()
	if err != nil {
		return err
	}
	defer links.close()
	return links.segment(underlayDevice, 1)
}

func (n *nodeInit) handle(c channel) {
	var q request
	files, err := c.receive(&q)
	if err != nil {
		return
	}
	defer closeAll(files)
	switch q.Op {
	case "exec":
		n.exec(c, q, files)
		return
	case "daemon-start":
		err = n.startDaemon(q.Args)
	case "daemon-stop":
		err = n.stopDaemon(q.Signal)
	case "daemon-status":
	case "segment":
		err = segmentUnderlay()
	default:
		err = fmt.Errorf("%q is not a request that this node knows", q.Op)
	}
	r := reply{Daemon: n.daemonStatus()}
	if err != nil {
		r.Err = err.Error()
	}
	if err := c.send(r); err != nil {
		fmt.Fprintf(os.Stderr, "%s: the answer is lost: %v\n", q.Op, err)
	}
}

// exec runs a command with the client's descriptors. It ends with its client: when the connection closes, its process group is killed.
func (n *nodeInit) exec(c channel, q request, files []*os.File) {
	fail := func(code int, err error) {
		c.send(reply{Err: err.Error(), Code: code}) //nolint:errcheck // nobody is left to be told
	}
	if len(files) != 3 || len(q.Argv) == 0 {
		fail(125, errors.New("exec wants a command and three descriptors"))
		return
	}
	path, err := lookPath(q.Argv[0], q.Env)
	if err != nil {
		code := 127
		if errors.Is(err, os.ErrPermission) {
			code = 126
		}
		fail(code, err)
		return
	}
	dir := q.Dir
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		dir = "/"
	}
	pid, done, err := n.children.start(path, q.Argv, &syscall.ProcAttr{
		Dir: dir, Env: q.Env,
		Files: []uintptr{files[0].Fd(), files[1].Fd(), files[2].Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		fail(126, fmt.Errorf("%s: %w", q.Argv[0], err))
		return
	}
	closeAll(files)
	if err := c.send(reply{PID: pid}); err != nil {
		n.children.signal(pid, syscall.SIGKILL, true) //nolint:errcheck // it may have ended
	}
	go n.forwardSignals(c, pid)
	status := <-done
	c.send(reply{Exited: true, Code: exitCode(status)}) //nolint:errcheck // nobody is left to be told
}

// forwardSignals ends when the connection does.
func (n *nodeInit) forwardSignals(c channel, pid int) {
	for {
		var q request
		files, err := c.receive(&q)
		closeAll(files)
		if err != nil {
			n.children.signal(pid, syscall.SIGKILL, true) //nolint:errcheck // it may have ended
			return
		}
		n.children.signal(pid, q.Signal, true) //nolint:errcheck // it may have ended
	}
}

// lookPath finds a command as the shell would, with the PATH of the caller's environment.
func lookPath(name string, env []string) (string, error) {
	check := func(path string) error {
		st, err := os.Stat(path)
		switch {
		case err != nil:
			return err
		case st.IsDir() || st.Mode()&0o111 == 0:
			return fmt.Errorf("%s: %w", path, os.ErrPermission)
		}
		return nil
	}
	if filepath.Base(name) != name {
		return name, check(name)
	}
	for _, dir := range filepath.SplitList(getenv(env, "PATH")) {
		if p := filepath.Join(dir, name); check(p) == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s: %w: it is not in PATH", name, os.ErrNotExist)
}
