// Package store keeps a node's own networks and sandboxes: a local.State that is stepped, one file an object, and tells who watches.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/local"
)

// Store is the live state and its files. Its methods may be called from any goroutine.
type Store struct {
	disk disk
	log  *slog.Logger

	mu       sync.Mutex
	state    local.State
	doubt    map[key]bool  // of what the disk may have something else than state
	changed  chan struct{} // closed at the next change
	watchers map[chan<- struct{}]bool
	history  history
}

// key names an object on the disk.
type key struct{ folder, id string }

// Open reads the state that is kept in dir, made when absent; env completes it with what is predefined. A file that cannot be read is
// set aside under another name, so that one damaged object does not keep a node from its others.
func Open(dir string, env local.Env, log *slog.Logger) (*Store, error) {
	return open(files{dir}, env, log)
}

// The folders of the disk.
const (
	networks  = "networks"
	sandboxes = "sandboxes"
)

func open(d disk, env local.Env, log *slog.Logger) (*Store, error) {
	s := &Store{disk: d, log: log, doubt: map[key]bool{}, changed: make(chan struct{}), watchers: map[chan<- struct{}]bool{}}
	s.state = local.State{Networks: map[swarmnet.NetworkID]local.Network{}, Sandboxes: map[swarmnet.TaskID]local.Sandbox{}}
	if err := errors.Join(load(s, networks, s.state.Networks), load(s, sandboxes, s.state.Sandboxes)); err != nil {
		return nil, fmt.Errorf("the node's own networks and sandboxes: %w", err)
	}
	_, err := s.Step(func(st local.State) (local.State, error) { return st.Predefine(env), nil })
	return s, err
}

func load[K ~string, V any](s *Store, folder string, into map[K]V) error {
	all, err := s.disk.load(folder)
	if err != nil {
		return err
	}
	for id, versions := range all {
		var damage error
		for _, b := range versions {
			var v V
			err := json.Unmarshal(b, &v)
			if err == nil {
				into[K(id)] = v
				break
			}
			damage = errors.Join(damage, err)
		}
		if _, ok := into[K(id)]; ok {
			continue
		}
		path, err := s.disk.setAside(folder, id)
		if err != nil {
			return err
		}
		s.log.Error("a file of the node's own objects is damaged and set aside", "file", path, "err", damage)
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
	changed, err := s.write(next)
	if err != nil {
		if _, undo := s.write(s.state); undo != nil { // every later step tries again
			s.log.Error("what was not done is on the disk in part", "err", undo)
		}
		return s.state, err
	}
	s.history.add(local.Events(s.state, next), time.Now())
	s.state = next.Settled()
	if !changed {
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

// lastingSandbox reports whether a change must outlast a power cut; b is nil when it is the end of a. What somebody asked for must. What became
// of a process need not, the next daemon sees that itself, nor that nothing is left of what was being removed.
func lastingSandbox(a local.Sandbox, b *local.Sandbox) bool {
	return b != nil && (a.Wanted != b.Wanted || a.Removing != b.Removing || !a.Meta.UpdatedAt.Equal(b.Meta.UpdatedAt) ||
		!reflect.DeepEqual(a.Spec, b.Spec) || !reflect.DeepEqual(a.Endpoints, b.Endpoints))
}

// lastingNetwork is like lastingSandbox. Which addresses rest is not worth the time.
func lastingNetwork(a local.Network, b *local.Network) bool {
	return b == nil || !reflect.DeepEqual(a.Network, b.Network)
}

// write makes the disk say what next does, where that is another state than the one in force or the disk is in doubt.
func (s *Store) write(next local.State) (changed bool, err error) {
	nets, boxes := next.Touched()
	n, err := save(s, networks, nets, s.state.Networks, next.Networks, lastingNetwork)
	if err != nil {
		return false, err
	}
	b, err := save(s, sandboxes, boxes, s.state.Sandboxes, next.Sandboxes, lastingSandbox)
	if err != nil {
		return false, err
	}
	clear(s.doubt)
	return n || b, nil
}

// save writes what differs of the objects with the given ids, and those in doubt. It reports whether anything does.
func save[K ~string, V any](s *Store, folder string, ids []K, was, is map[K]V, lasting func(a V, b *V) bool) (changed bool, err error) {
	for k := range s.doubt {
		if k.folder == folder {
			ids = append(ids, K(k.id))
		}
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		k := key{folder, string(id)}
		old, had := was[id]
		v, there := is[id]
		switch {
		case s.doubt[k]:
		case !there && !had, there && had && reflect.DeepEqual(old, v):
			continue
		}
		changed = true
		sync := s.doubt[k] || !had || there && lasting(old, &v) || !there && lasting(old, nil)
		s.doubt[k] = true // until all of the step is written
		if there {
			var b []byte
			if b, err = json.MarshalIndent(v, "", "  "); err == nil {
				err = s.disk.replace(folder, string(id), b, sync)
			}
		} else {
			err = s.disk.remove(folder, string(id), sync)
		}
		if err != nil {
			return changed, fmt.Errorf("the node's own networks and sandboxes cannot be kept on the disk: %w", err)
		}
	}
	return changed, nil
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
