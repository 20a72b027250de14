// Package timerslack says how much later than asked for the kernel may wake the threads of this process (prctl(2), PR_SET_TIMERSLACK): it then wakes
// them for several things at once.
package timerslack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Default is what the kernel gives a process that nobody asked it for another.
const Default = 50 * time.Microsecond

// Set gives all threads of this process a slack; threads and processes that they make inherit it. It needs CAP_SYS_NICE
// (proc_pid_timerslack_ns(5)).
func Set(slack time.Duration) error {
	want := strconv.FormatInt(slack.Nanoseconds(), 10)
	for {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("set the timer slack: %w", err)
		}
		changed := false // a thread that was made meanwhile, by one that was not reached yet, has the old one
		for _, t := range threads {
			file := "/proc/" + t.Name() + "/timerslack_ns"
			have, err := os.ReadFile(file)
			if err == nil && strings.TrimSpace(string(have)) != want {
				changed = true
				err = os.WriteFile(file, []byte(want), 0)
			}
			switch {
			case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH): // it has ended
			case errors.Is(err, fs.ErrPermission):
				return fmt.Errorf("set the timer slack, which takes CAP_SYS_NICE: %w", err)
			case err != nil:
				return fmt.Errorf("set the timer slack: %w", err)
			}
		}
		if !changed {
			return nil
		}
	}
}
