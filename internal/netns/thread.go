package netns

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// onThread runs fn on a locked thread that is nobody else's, and brings the thread home when fn returns. A thread that cannot be
// brought home ends with its goroutine, so that nothing ever runs in a foreign namespace by chance.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end, and /proc/PID/ns/net is its: another one does the work. This goroutine holds it meanwhile.
			done <- onThread(fn)
			runtime.UnlockOSThread()
			return
		}
		home, err := Current()
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		err = fn()
		if unix.Setns(home.FD(), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		home.Close()
		done <- err
	}()
	return <-done
}
