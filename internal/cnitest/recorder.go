package cnitest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Call is one call of the plugin, as it came.
type Call struct {
	Command, ContainerID, Netns, IfName, Args string
	Stdin                                     json.RawMessage
}

// Recorder is an installed plugin.
type Recorder struct {
	t   *testing.T
	dir string
}

// Install puts the running test binary as the plugin into a directory of its own.
func Install(t *testing.T) *Recorder {
	t.Helper()
	r := &Recorder{t, t.TempDir()}
	exe, err := os.Executable()
	if err == nil {
		err = os.Mkdir(r.BinDir(), 0o755)
	}
	if err == nil {
		err = os.Symlink(exe, filepath.Join(r.BinDir(), Type))
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// BinDir is the directory with the plugin.
func (r *Recorder) BinDir() string { return filepath.Join(r.dir, "bin") }

// Conf is a configuration of the plugin with capabilities.
func (r *Recorder) Conf(capabilities ...string) string {
	r.t.Helper()
	plugin := map[string]any{"type": Type, "dir": r.dir}
	if len(capabilities) > 0 {
		all := map[string]bool{}
		for _, c := range capabilities {
			all[c] = true
		}
		plugin["capabilities"] = all
	}
	b, err := json.Marshal(map[string]any{"name": "rec", "cniVersion": "1.0.0", "plugins": []any{plugin}})
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// File writes a configuration and returns its path.
func (r *Recorder) File(name, conf string) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// Fail has these commands fail from now on: ADD at once, "late ADD" after everything was done.
func (r *Recorder) Fail(commands ...string) {
	r.t.Helper()
	r.File("fail", strings.Join(commands, ","))
}

// Calls are all calls so far.
func (r *Recorder) Calls() []Call {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, "calls"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	var out []Call
	for line := range strings.Lines(string(b)) {
		var c Call
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			r.t.Fatalf("%v in %q", err, line)
		}
		out = append(out, c)
	}
	return out
}

// Commands are the commands of all calls so far, as in "ADD DEL".
func (r *Recorder) Commands() string {
	r.t.Helper()
	var out []string
	for _, c := range r.Calls() {
		out = append(out, c.Command)
	}
	return strings.Join(out, " ")
}

// Held are the addresses that the plugin has given out and not got back.
func (r *Recorder) Held() []string {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.dir, "held", "*"))
	if err != nil {
		r.t.Fatal(err)
	}
	for i, f := range files {
		files[i] = filepath.Base(f)
	}
	return files
}

// Runtime is what the runtime asked for in a call: the member of runtimeConfig.
func (c Call) Runtime(capability string) string {
	var conf struct {
		RuntimeConfig map[string]json.RawMessage `json:"runtimeConfig"`
	}
	if err := json.Unmarshal(c.Stdin, &conf); err != nil {
		return fmt.Sprint(err)
	}
	return string(conf.RuntimeConfig[capability])
}
