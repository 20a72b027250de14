package timerslack

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSet(t *testing.T) {
	head, caps := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
	if err := unix.Capget(&head, &caps[0]); err != nil {
		t.Fatal(err)
	}
	if caps[0].Effective&(1<<unix.CAP_SYS_NICE) == 0 {
		if err := Set(time.Millisecond); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "CAP_SYS_NICE") {
			t.Errorf("without CAP_SYS_NICE: %v", err)
		}
		return
	}
	// Threads come and go meanwhile.
	var wg sync.WaitGroup
	end := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
					unix.Select(0, nil, nil, nil, &unix.Timeval{Usec: 100}) //nolint:errcheck // a call that keeps its thread
				}
			}
		})
	}
	defer wg.Wait()
	defer close(end)
	for _, want := range []time.Duration{time.Millisecond, Default} {
		if err := Set(want); err != nil {
			t.Fatal(err)
		}
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		for _, thread := range threads {
			b, err := os.ReadFile("/proc/" + thread.Name() + "/timerslack_ns")
			if err == nil && strings.TrimSpace(string(b)) != strconv.Itoa(int(want)) {
				t.Errorf("thread %s has %s, want %d", thread.Name(), b, want)
			}
		}
	}
}
