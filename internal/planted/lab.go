package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// lab tries bugs. The tree is never touched: the compiler is given other files in place of those with bugs.
type lab struct {
	root string // of the module
	tmp  string

	mu    sync.Mutex
	sound map[Test]func() verdict // that the tests pass without a bug
}

type verdict struct {
	word   string
	caught bool
	output string
}

func newLab(ctx context.Context) (*lab, error) {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(mod)))
	tmp, err := os.MkdirTemp("", "planted-")
	if err != nil {
		return nil, err
	}
	return &lab{root: root, tmp: tmp, sound: map[Test]func() verdict{}}, nil
}

func (l *lab) close() { os.RemoveAll(l.tmp) }

const (
	testTimeout = 2 * time.Minute
	allTimeout  = 6 * time.Minute // with building
)

// try plants a bug and runs its test.
func (l *lab) try(ctx context.Context, b Bug) verdict {
	overlay, err := l.overlay(b)
	if err != nil {
		return verdict{word: "STALE", output: err.Error()}
	}
	if v := l.check(ctx, b.Test); !v.caught {
		return v
	}
	out, err := l.test(ctx, b.Test, "-overlay="+overlay, "-count=1", "-failfast")
	switch {
	case strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]"):
		return verdict{"BROKEN", false, "it does not compile:\n" + out}
	case err == nil:
		return verdict{"NOT CAUGHT", false, out}
	case strings.Contains(out, "panic: test timed out"):
		return verdict{"caught", true, "(the test hangs)\n" + out}
	}
	return verdict{"caught", true, out}
}

// check reports, once for each test, whether it passes without a bug: one that fails anyhow catches nothing.
func (l *lab) check(ctx context.Context, t Test) verdict {
	l.mu.Lock()
	f := l.sound[t]
	if f == nil {
		f = sync.OnceValue(func() verdict {
			out, err := l.test(ctx, t)
			if err != nil {
				return verdict{"UNSOUND", false, "the test fails without the bug:\n" + out}
			}
			if strings.Contains(out, "no tests to run") {
				return verdict{"UNSOUND", false, "there is no such test"}
			}
			return verdict{caught: true}
		})
		l.sound[t] = f
	}
	l.mu.Unlock()
	return f()
}

func (l *lab) test(ctx context.Context, t Test, flags ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, allTimeout)
	defer cancel()
	args := append([]string{"test", "-vet=off", "-timeout=" + testTimeout.String()}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "-run="+t.Run, "./"+t.Pkg)...)
	cmd.Dir = l.root
	// Random tests must not leave failures that are not the code's, and catch the same each time.
	cmd.Env = append(os.Environ(), "RAPID_NOFAILFILE=true", "RAPID_SEED=1", "RAPID_SHRINKTIME=1s")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		return fmt.Sprintf("[setup failed] %v\n%s", errors.Join(err, ctx.Err()), out), err
	}
	return string(out), err
}

// overlay writes the file with the bug in it, and the file that tells the compiler of it.
func (l *lab) overlay(b Bug) (string, error) {
	file := filepath.Join(l.root, b.File)
	source, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	planted, err := b.plant(string(source))
	if err != nil {
		return "", err
	}
	dir := filepath.Join(l.tmp, b.Name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	other := filepath.Join(dir, filepath.Base(b.File))
	if err := os.WriteFile(other, []byte(planted), 0o600); err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {file: other}})
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, list, 0o600)
}
