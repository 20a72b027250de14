// Package store keeps a node's own networks and sandboxes: a local.State that is stepped, one file an object, and tells who watches.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/local"
)

// Store is the live state and its files. Its methods may be called from any goroutine.
type Store struct {
	dir string
	log *slog.Logger

	mu       sync.Mutex
	state    local.State
	changed  chan struct{} // closed at the next change
	watchers map[chan<- struct{}]bool
}

// Open reads the state that is kept in dir, made when absent; env completes it with what is predefined. A file that cannot be read is
// set aside under another name, so that one damaged object does not keep a node from its others.
func Open(dir string, env local.Env, log *slog.Logger) (*Store, error) {
	s := &Store{dir: dir, log: log, changed: make(chan struct{}), watchers: map[chan<- struct{}]bool{}}
	s.state = local.State{Networks: map[swarmnet.NetworkID]local.Network{}, Sandboxes: map[swarmnet.TaskID]local.Sandbox{}}
	for _, sub := range []string{"networks", "sandboxes"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("the node's own networks and sandboxes: %w", err)
		}
	}
	if err := load(s, "networks", s.state.Networks); err != nil {
		return nil, err
	}
	if err := load(s, "sandboxes", s.state.Sandboxes); err != nil {
		return nil, err
	}
	_, err := s.Step(func(st local.State) (local.State, error) { return st.Predefine(env), nil })
	return s, err
}

func load[K ~string, V any](s *Store, sub string, into map[K]V) error {
	dir := filepath.Join(s.dir, sub)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		path := filepath.Join(dir, e.Name())
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var v V
		if err := json.Unmarshal(b, &v); err != nil {
			s.log.Error("a file of the node's own objects is damaged and set aside", "file", path, "err", err)
			if err := os.Rename(path, path+".damaged"); err != nil {
				return err
			}
			continue
		}
		into[K(id)] = v
	}
	return nil
}

// Read returns the state as it is.
func (s *Store) Read() local.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Step takes one step: f makes of the state the next one, which is on the disk when Step returns. After an error nothing has changed.
func (s *Store) Step(f func(local.State) (local.State, error)) (local.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := f(s.state)
	if err != nil {
		return s.state, err
	}
	nets, boxes := next.Touched()
	networks, err := save(s, "networks", nets, s.state.Networks, next.Networks, func(a, b local.Network) bool { return !reflect.DeepEqual(a.Network, b.Network) })
	if err != nil {
		return s.state, err
	}
	sandboxes, err := save(s, "sandboxes", boxes, s.state.Sandboxes, next.Sandboxes, lasting)
	if err != nil {
		return s.state, err
	}
	s.state = next.Settled()
	if !networks && !sandboxes {
		return next, nil
	}
	close(s.changed)
	s.changed = make(chan struct{})
	for ch := range s.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
	return next, nil
}

// lasting reports whether a change must outlast a power cut. What became of a process need not: the next daemon sees that itself.
func lasting(a, b local.Sandbox) bool {
	return a.Wanted != b.Wanted || a.Removing != b.Removing || !reflect.DeepEqual(a.Spec, b.Spec) || !reflect.DeepEqual(a.Endpoints, b.Endpoints)
}

// save writes what differs of the objects with the given ids. It reports whether anything does.
func save[K ~string, V any](s *Store, sub string, ids []K, was, is map[K]V, lasting func(a, b V) bool) (changed bool, err error) {
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		path := filepath.Join(s.dir, sub, string(id)+".json")
		old, had := was[id]
		v, there := is[id]
		switch {
		case !there && !had, there && had && reflect.DeepEqual(old, v):
			continue
		case there:
			err = writeFile(path, v, !had || lasting(old, v))
		default:
			if err = os.Remove(path); errors.Is(err, os.ErrNotExist) {
				err = nil
			}
		}
		if changed = true; err != nil {
			return changed, fmt.Errorf("the node's own networks and sandboxes cannot be kept on the disk: %w", err)
		}
	}
	return changed, nil
}

// writeFile replaces a file as a whole; with sync it outlasts a power cut.
func writeFile(path string, v any, sync bool) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil && sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil || !sync {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Watch has ch receive after changes, several of which may be one receipt, until the returned function is called.
func (s *Store) Watch(ch chan<- struct{}) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[ch] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, ch)
	}
}

// Await returns the first state for which ok holds, or the error of ctx.
func (s *Store) Await(ctx context.Context, ok func(local.State) bool) (local.State, error) {
	for {
		s.mu.Lock()
		state, changed := s.state, s.changed
		s.mu.Unlock()
		if ok(state) {
			return state, nil
		}
		select {
		case <-ctx.Done():
			return state, ctx.Err()
		case <-changed:
		}
	}
}
