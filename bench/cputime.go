package main

import (
	"golang.org/x/sys/unix"
)

// cpuSeconds is the CPU time of a process so far, in all its threads, 0 being this one: what the kernel does for it in softirq while it runs is in it.
func cpuSeconds(pid int) float64 {
	clock := int32(unix.CLOCK_PROCESS_CPUTIME_ID)
	if pid != 0 {
		clock = int32(^uint32(pid))<<3 | 2 // clock_getcpuclockid(3)
	}
	var t unix.Timespec
	if unix.ClockGettime(clock, &t) != nil {
		return 0
	}
	return float64(t.Nano()) / 1e9
}
