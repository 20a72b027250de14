package session

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// That the disk is slow to make a set outlast the power does not put off the saving of the next: a daemon that is killed starts from what is saved.
func TestASlowDiskPutsOffNoSaving(t *testing.T) {
	path := filepath.Join(t.TempDir(), "assignments")
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Path: path})
		s.settle = func(string) error { time.Sleep(time.Second); return nil }
		due := make(chan struct{}, 1)
		var saving sync.WaitGroup
		defer saving.Wait()
		ctx, end := context.WithCancel(t.Context())
		defer end()
		saving.Go(func() { s.saveSets(ctx, due) })
		stored := func() uint64 {
			synctest.Wait()
			got, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			return got.Revision
		}
		for _, revision := range []uint64{1, 2, 3} {
			s.mu.Lock()
			s.set = set(revision, "a")
			s.mu.Unlock()
			due <- struct{}{}
			if revision > 1 {
				if r := stored(); r != revision-1 {
					t.Errorf("%d is stored while %d is made to last", r, revision-1)
				}
				time.Sleep(time.Second)
			}
			if r := stored(); r != revision {
				t.Errorf("%d is stored, not %d", r, revision)
			}
		}
	})
}
