package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Command is a command to be run on a node.
type Command struct {
	Node string
	Argv []string
	// Env is the environment; nil: the caller's. SWARMNET_HOST and PATH are set for the node.
	Env []string
	Dir string // "": the caller's
	// Stdin, Stdout and Stderr are handed to the command as they are; nil: /dev/null.
	Stdin, Stdout, Stderr *os.File
	// Signals are passed on to the command; nil: none.
	Signals <-chan os.Signal
}

// ExecError is a failure of the lab, not of the command: Code is what `lab exec` exits with (125 its own failure, 126 the command
// cannot be run, 127 there is none).
type ExecError struct {
	Code int
	Err  error
}

func (e *ExecError) Error() string { return e.Err.Error() }
func (e *ExecError) Unwrap() error { return e.Err }

// Exec runs a command in a node's host namespaces, as its root, and returns its exit status. The command ends with ctx.
func (l *Lab) Exec(ctx context.Context, cmd Command) (int, error) {
	if _, err := nodeIndex(cmd.Node); err != nil {
		return 0, &ExecError{125, err}
	}
	c, err := dial(nodeSocket(l.dir, cmd.Node))
	if err != nil {
		return 0, &ExecError{125, l.explainOff(cmd.Node, err)}
	}
	defer c.conn.Close()
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, &ExecError{125, err}
	}
	defer null.Close()
	stdio := []*os.File{cmd.Stdin, cmd.Stdout, cmd.Stderr}
	for i, f := range stdio {
		if f == nil {
			stdio[i] = null
		}
	}
	if cmd.Dir == "" {
		cmd.Dir, _ = os.Getwd() // "": the node's root
	}
	if err := c.send(request{Op: "exec", Argv: cmd.Argv, Env: l.environ(cmd.Env), Dir: cmd.Dir}, stdio...); err != nil {
		return 0, &ExecError{125, err}
	}
	done := make(chan struct{})
	defer close(done)
	if cmd.Signals != nil {
		go passSignals(c, cmd.Signals, done)
	}
	for {
		var r reply
		if _, err := c.receive(&r); err != nil {
			if ctx.Err() != nil {
				return 0, &ExecError{125, ctx.Err()}
			}
			return 0, &ExecError{125, fmt.Errorf("%s went away while the command ran", cmd.Node)}
		}
		switch {
		case r.Err != "":
			return 0, &ExecError{r.Code, errors.New(r.Err)}
		case r.Exited:
			return r.Code, nil
		}
	}
}

func passSignals(c channel, signals <-chan os.Signal, done <-chan struct{}) {
	for {
		select {
		case s := <-signals:
			if sig, ok := s.(syscall.Signal); ok {
				c.send(request{Op: "signal", Signal: sig}) //nolint:errcheck // the command has ended
			}
		case <-done:
			return
		}
	}
}

// environ is the environment of commands on a node: `swarmnet` is in its PATH and speaks to the node's own daemon.
func (l *Lab) environ(env []string) []string {
	if env == nil {
		env = os.Environ()
	}
	out := make([]string, 0, len(env)+3)
	for _, kv := range env {
		if k, _, _ := strings.Cut(kv, "="); k != "PATH" && k != "SWARMNET_HOST" {
			out = append(out, kv)
		}
	}
	path := getenv(env, "PATH")
	if path == "" {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	return append(out, "SWARMNET_HOST=unix://"+daemonSocket, "PATH="+filepath.Join(l.dir, "bin")+":"+path)
}

func getenv(env []string, key string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], key+"="); ok {
			return v
		}
	}
	return ""
}

// Result is what a command gave.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Run runs a command to its end and returns its output. That it exits with another status than 0 is no error.
func (l *Lab) Run(ctx context.Context, node string, argv ...string) (Result, error) {
	var out, errs bytes.Buffer
	code, err := l.RunTo(ctx, &out, &errs, Command{Node: node, Argv: argv})
	return Result{Stdout: out.String(), Stderr: errs.String(), Code: code}, err
}

// RunTo is Exec with the output copied to writers.
func (l *Lab) RunTo(ctx context.Context, stdout, stderr io.Writer, cmd Command) (int, error) {
	var (
		wg      sync.WaitGroup
		readers []*os.File
	)
	pipe := func(w io.Writer) (*os.File, error) {
		r, pw, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		readers = append(readers, r)
		wg.Go(func() {
			defer r.Close()
			io.Copy(w, r) //nolint:errcheck // a writer of ours
		})
		return pw, nil
	}
	var err error
	if cmd.Stdout, err = pipe(stdout); err != nil {
		return 0, &ExecError{125, err}
	}
	if cmd.Stderr, err = pipe(stderr); err != nil {
		cmd.Stdout.Close()
		return 0, &ExecError{125, err}
	}
	code, err := l.Exec(ctx, cmd)
	cmd.Stdout.Close()
	cmd.Stderr.Close()
	// What the command left running may hold its output open: it is not waited for.
	late := time.AfterFunc(time.Second, func() {
		for _, r := range readers {
			r.SetReadDeadline(time.Now()) //nolint:errcheck // closed already
		}
	})
	defer late.Stop()
	wg.Wait()
	return code, err
}

// Swarmnet runs a swarmnet command on a node and returns its standard output; another exit status than 0 is an error that quotes it.
func (l *Lab) Swarmnet(ctx context.Context, node string, args ...string) (string, error) {
	r, err := l.Run(ctx, node, append([]string{"swarmnet"}, args...)...)
	if err != nil {
		return "", err
	}
	if r.Code != 0 {
		return r.Stdout, fmt.Errorf("swarmnet %s: exit status %d: %s", strings.Join(args, " "), r.Code, strings.TrimSpace(r.Stderr))
	}
	return strings.TrimSpace(r.Stdout), nil
}
