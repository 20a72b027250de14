// Package executor says what an agent asks of the thing that runs its tasks. One implementation is built in: process.
package executor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/swarmnet/swarmnet"
)

// Errors of Start that trying again does not cure.
var (
	// ErrNotFound says that the command does not exist (a shell's status 127).
	ErrNotFound = errors.New("command not found")
	// ErrNotExecutable says that the command exists and can't be run (a shell's status 126).
	ErrNotExecutable = errors.New("command cannot be run")
	// ErrUnknownTask says that the executor holds nothing of the task.
	ErrUnknownTask = errors.New("no such task here")
)

// Spec is one workload, as it is to be started.
type Spec struct {
	ID swarmnet.TaskID
	// Run tells the runs of one workload apart: one that has ended is started again under another number, and keeps its output.
	Run uint64
	// NetnsPath is the network namespace of the task's sandbox; empty: the caller's.
	NetnsPath string
	Command   []string
	Env       []string // KEY=VALUE
	Dir       string   // empty: /
	User      string   // NAME|UID[:GROUP|GID]; empty: the daemon's
	// Stdin keeps standard input open for Attach; else it is empty. With TTY its standard files are one terminal.
	Stdin, TTY bool
	Hostname   string
	// ResolvConf and Hosts are the contents of /etc/resolv.conf and /etc/hosts inside.
	ResolvConf, Hosts string
	// DNS is where the sandbox's resolver listens; the zero value: nowhere.
	DNS netip.AddrPort
}

// Phase is where a workload stands.
type Phase uint8

const (
	Absent   Phase = iota // the executor holds nothing of it
	Starting              // its holder is there, the command not yet
	Running
	Ended // by itself, by a signal, or it could not be started
	Lost  // its holder is gone without a record of the end: a power cut, or somebody killed it
)

var phaseNames = [...]string{"absent", "starting", "running", "ended", "lost"}

func (p Phase) String() string { return phaseNames[min(int(p), len(phaseNames)-1)] }

// Status is what is observed of a workload.
type Status struct {
	ID        swarmnet.TaskID
	Run       uint64
	Phase     Phase
	PID       int // as the daemon sees it
	StartedAt time.Time
	EndedAt   time.Time
	// ExitCode is the command's own, 128 + the number of the signal that ended it, or 126 and 127 as a shell has them.
	ExitCode int
	Err      string // why it could not be started
	// Stopping says that it was asked to stop.
	Stopping bool
}

// Sockets are where the resolver of a sandbox gets its queries.
type Sockets struct {
	UDP net.PacketConn
	TCP net.Listener
}

// Close closes both; the holder keeps its own copies.
func (s *Sockets) Close() error {
	if s == nil {
		return nil
	}
	return errors.Join(s.UDP.Close(), s.TCP.Close())
}

// NewSockets takes over the two files.
func NewSockets(udp, tcp *os.File) (*Sockets, error) {
	defer udp.Close()
	defer tcp.Close()
	u, err := net.FilePacketConn(udp)
	if err != nil {
		return nil, err
	}
	l, err := net.FileListener(tcp)
	if err != nil {
		u.Close()
		return nil, err
	}
	return &Sockets{UDP: u, TCP: l}, nil
}

// Probe is one health check, as it is carried out inside the sandbox. Exactly one of Command and Addr is set.
type Probe struct {
	Command []string
	Addr    netip.AddrPort // a TCP connection to it is healthy
	Timeout time.Duration
}

// Exec is one more command inside a running workload's sandbox.
type Exec struct {
	Command []string
	Env     []string // beside the workload's own
	Dir     string   // empty: the workload's
	User    string   // empty: the workload's
	// Stdin, Stdout and Stderr are the command's. With TTY they are one terminal, which becomes its controlling one.
	Stdin, Stdout, Stderr *os.File
	TTY                   bool
}

// Line is a line of a workload's output, with its newline; a long one comes in pieces.
type Line struct {
	At     time.Time
	Stderr bool
	Data   []byte // valid until the sink returns
}

// LogQuery says which part of a workload's output is wanted.
type LogQuery struct {
	Follow       bool      // go on until the workload has ended, or Until
	Tail         int       // the last so many lines of what is there; 0: all
	Since, Until time.Time // from, and before; zero: no bound
}

// Attachment is how somebody takes part in a workload that runs.
type Attachment struct {
	Process
	// Input is where its standard input is written, and the terminal if it has one; nil: it is not open. The caller closes it.
	Input *os.File
	// CloseInput ends its standard input for good. A terminal has no such end.
	CloseInput func() error
}

// Proc is a process of a workload, by the numbers of the daemon's PID namespace.
type Proc struct {
	PID, Parent int
	UID         uint32
	Started     time.Time
	CPU         time.Duration
	Memory      uint64 // resident, octets
	Command     string
}

// Process is a command that Exec started.
type Process interface {
	// Signal sends a signal, named as for Stop.
	Signal(name string) error
	// Wait returns the exit status as Status.ExitCode has it, 137 when the workload ended and took the command along. When ctx ends
	// first the command is killed.
	Wait(ctx context.Context) int
}

// Executor runs workloads. Its methods may be called from any goroutine.
type Executor interface {
	// Start starts a workload; one that is already held is left as it is, unless that is an earlier run that has ended. It returns when the command runs or cannot.
	Start(ctx context.Context, spec Spec) error
	// Stop asks a workload to end: the signal first, SIGKILL for all that is left after grace. It does not wait.
	Stop(id swarmnet.TaskID, signal string, grace time.Duration) error
	// Signal sends the workload's command a signal, and does no more.
	Signal(id swarmnet.TaskID, signal string) error
	// Exec starts a command inside the sandbox of a workload that runs. The caller closes the files.
	Exec(id swarmnet.TaskID, e Exec) (Process, error)
	// Attach copies the output of a workload that runs to two files from now on, and what it put out at its very start. With a terminal all
	// goes to stdout. Their Wait lets go of the workload when ctx ends. The caller closes the files.
	Attach(id swarmnet.TaskID, stdout, stderr *os.File) (Attachment, error)
	// Processes are those of a workload that runs, the oldest first.
	Processes(id swarmnet.TaskID) ([]Proc, error)
	// Probe returns nil when the workload is healthy.
	Probe(ctx context.Context, id swarmnet.TaskID, p Probe) error
	// Sockets returns the resolver's sockets of a workload that has them; the caller closes them.
	Sockets(id swarmnet.TaskID) (*Sockets, error)
	Status(id swarmnet.TaskID) Status
	List() []swarmnet.TaskID
	// Remove forgets a workload and its output; one that still runs is killed first.
	Remove(ctx context.Context, id swarmnet.TaskID) error
	// Logs copies a workload's output to sink.
	Logs(ctx context.Context, id swarmnet.TaskID, q LogQuery, sink func(Line) error) error
}
