package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"syscall"
	"time"
)

// Names of the two hidden commands that a lab's own processes are started with.
const (
	supervisorCommand = "lab-supervisor"
	initCommand       = "lab-init"
)

// Main runs the lab's own processes: the supervisor and the nodes' pid 1. ours is false for any other command line.
func Main(args []string) (code int, ours bool) {
	if len(args) != 2 {
		return 0, false
	}
	var err error
	switch args[0] {
	case supervisorCommand:
		err = decodeAnd(args[1], supervise)
	case initCommand:
		err = decodeAnd(args[1], initNode)
	default:
		return 0, false
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", args[0], err)
		return 1, true
	}
	return 0, true
}

func decodeAnd[T any](arg string, run func(T) error) error {
	var v T
	if err := json.Unmarshal([]byte(arg), &v); err != nil {
		return fmt.Errorf("an inner command of `swarmnet lab` (%w)", err)
	}
	return run(v)
}

type supervisorSpec struct {
	Dir    string
	Binary string
	Underlay
}

const bridge = "br0"

// supervisor is pid 1 of a lab.
type supervisor struct {
	supervisorSpec
	children *children
	links    *links
	listener *net.UnixListener

	mu    sync.Mutex
	nodes map[string]*node
}

// node is one booted, or switched off, machine of the lab.
type node struct {
	pid  int // of its pid 1; 0: it is off
	gone chan struct{}
	cut  bool
}

// syncFD is the descriptor over which a lab process and its parent tell each other how far they are.
const syncFD = 3

// await tells the parent that this process is there and waits for its word. The parent's end closes with it.
func await() (net.Conn, error) {
	f := os.NewFile(syncFD, "sync")
	if f == nil {
		return nil, errors.New("an inner command of `swarmnet lab`")
	}
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("an inner command of `swarmnet lab` (%w)", err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		conn.Close()
		return nil, fmt.Errorf("the parent gave up: %w", err)
	}
	return conn, nil
}

// tell reports the outcome of the start to the parent: nothing, or why not.
func tell(conn net.Conn, err error) error {
	msg := "ok"
	if err != nil {
		msg = err.Error()
	}
	_, werr := conn.Write([]byte(msg))
	return errors.Join(err, werr, conn.Close())
}

func supervise(spec supervisorSpec) error {
	conn, err := await() // until the record names us: a lab without a record could not be taken down
	if err != nil {
		return err
	}
	s := &supervisor{supervisorSpec: spec, children: newChildren(), nodes: map[string]*node{}}
	s.listener, err = s.setUp()
	if err := tell(conn, err); err != nil {
		return err
	}
	stop := make(chan struct{})
	defer close(stop)
	go s.children.run(stop)
	return serve(s.listener, s.handle)
}

func (s *supervisor) setUp() (*net.UnixListener, error) {
	if err := privateMounts(); err != nil {
		return nil, err
	}
	var err error
	if s.links, err = openLinks(); err != nil {
		return nil, err
	}
	if err := s.links.probeVXLAN(); err != nil {
		return nil, err
	}
	if err := s.links.createBridge(bridge); err != nil {
		return nil, err
	}
	// The switch itself takes no part in the underlay: no address, no IPv6 of its own.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+bridge+"/disable_ipv6", []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := s.links.up(bridge); err != nil {
		return nil, err
	}
	return listen(supervisorSocket(s.Dir))
}

// serve hands each connection to handle, in a goroutine that ends with the connection; the process is its owner.
func serve(l *net.UnixListener, handle func(channel)) error {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			handle(channel{conn})
		}()
	}
}

func (s *supervisor) handle(c channel) {
	var q request
	files, err := c.receive(&q)
	closeAll(files)
	if err != nil {
		return
	}
	if q.Op == "hold" {
		s.hold(c)
		return
	}
	r := reply{}
	if err := s.do(q, &r); err != nil {
		r.Err = err.Error()
	}
	if err := c.send(r); err != nil {
		fmt.Fprintf(os.Stderr, "%s: the answer is lost: %v\n", q.Op, err)
	}
}

// hold ends the lab when its maker's connection ends.
func (s *supervisor) hold(c channel) {
	if err := c.send(reply{}); err == nil {
		c.conn.Read(make([]byte, 1)) //nolint:errcheck // that it ends is all that counts
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, n := range s.nodes {
		if n.on() {
			s.kill(name, n) //nolint:errcheck // the end of this process kills what is left
		}
	}
	if err := os.RemoveAll(s.Dir); err != nil {
		fmt.Fprintf(os.Stderr, "cannot remove the lab's files: %v\n", err)
	}
	s.listener.Close() // ends serve, and with it this process and all that is left
}

func (s *supervisor) do(q request, r *reply) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.Op == "status" {
		r.Nodes = s.status()
		return nil
	}
	if _, err := nodeIndex(q.Node); err != nil {
		return err
	}
	n := s.nodes[q.Node]
	if n == nil && q.Op != "boot" {
		return fmt.Errorf("there is no node %s: `swarmnet lab status` lists them", q.Node)
	}
	switch q.Op {
	case "boot":
		return s.boot(q.Node)
	case "kill":
		return s.kill(q.Node, n)
	case "cut":
		return s.connect(q.Node, n, false)
	case "heal":
		return s.connect(q.Node, n, true)
	case "narrow":
		if !n.on() {
			return fmt.Errorf("%s is off: `swarmnet lab start %s` boots it", q.Node, q.Node)
		}
		return s.links.setMTU(q.Node, q.MTU)
	}
	return fmt.Errorf("%q is not a request that this lab knows: was it started by another version?", q.Op)
}

func (s *supervisor) status() []NodeStatus {
	out := []NodeStatus{}
	for name, n := range s.nodes {
		out = append(out, NodeStatus{Name: name, On: n.on(), Cut: n.cut})
	}
	sort.Slice(out, func(i, j int) bool {
		a, _ := nodeIndex(out[i].Name)
		b, _ := nodeIndex(out[j].Name)
		return a < b
	})
	return out
}

func (n *node) on() bool {
	if n.pid == 0 {
		return false
	}
	select {
	case <-n.gone:
		return false
	default:
		return true
	}
}

// kill is the power cut: pid 1 of the node dies, and the kernel kills all the others before it is done with it.
func (s *supervisor) kill(name string, n *node) error {
	if !n.on() {
		return fmt.Errorf("%s is off already", name)
	}
	if err := s.children.signal(n.pid, syscall.SIGKILL, false); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	select {
	case <-n.gone:
	case <-time.After(20 * time.Second):
		return fmt.Errorf("%s does not die: one of its processes is stuck in the kernel", name)
	}
	n.pid = 0
	return s.links.remove(name) // at once, and not when the kernel gets round to its namespace
}

// connect puts a node's port into the underlay switch or takes it out. The node sees no carrier change: its link is dead silently.
func (s *supervisor) connect(name string, n *node, join bool) error {
	n.cut = !join
	if !n.on() {
		return nil // counts from its next boot
	}
	master := ""
	if join {
		master = bridge
	}
	return s.links.setMaster(name, master)
}

func (s *supervisor) boot(name string) error {
	n := s.nodes[name]
	if n == nil {
		n = &node{}
	}
	if n.on() {
		return fmt.Errorf("%s is on already", name)
	}
	if err := os.MkdirAll(filepath.Join(nodeDir(s.Dir, name), "data"), 0o700); err != nil {
		return err
	}
	if err := s.links.remove(name); err != nil { // of a node that ended by itself
		return err
	}
	if err := s.bootProcess(name, n); err != nil {
		return fmt.Errorf("%s does not boot: %w", name, err)
	}
	s.nodes[name] = n
	return nil
}
