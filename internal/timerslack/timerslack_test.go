package timerslack

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSet(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("CAP_SYS_NICE is needed, and only root surely has it")
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
