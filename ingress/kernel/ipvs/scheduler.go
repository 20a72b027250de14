package ipvs

import (
	"fmt"
	"slices"
	"strings"
)

// Scheduler is how a service picks the destination of a new connection.
type Scheduler string

// Schedulers, by ipvsadm(8)'s names: in turns, in turns by weight, the fewest connections, by a hash of the client's address, and by one that moves
// few clients when destinations come and go (Maglev).
const (
	RoundRobin         Scheduler = "rr"
	WeightedRoundRobin Scheduler = "wrr"
	LeastConnection    Scheduler = "lc"
	SourceHash         Scheduler = "sh"
	Maglev             Scheduler = "mh"
)

// Schedulers are those that can be chosen.
var Schedulers = []Scheduler{RoundRobin, WeightedRoundRobin, LeastConnection, SourceHash, Maglev}

// ParseScheduler reads a scheduler's name.
func ParseScheduler(name string) (Scheduler, error) {
	if s := Scheduler(name); slices.Contains(Schedulers, s) {
		return s, nil
	}
	names := make([]string, len(Schedulers))
	for i, s := range Schedulers {
		names[i] = string(s)
	}
	return "", fmt.Errorf("there is no scheduler %q: one of %s is wanted", name, strings.Join(names, ", "))
}

// Flags of services (linux/ip_vs.h).
const (
	flagHashed   = 0x02 // the kernel's own
	flagFallback = 0x08 // IP_VS_SVC_F_SCHED_SH_FALLBACK and IP_VS_SVC_F_SCHED_MH_FALLBACK
)

// flags of the scheduler: one that hashes must look for another destination when the client's has weight 0, or it would refuse the client.
func (s Scheduler) flags() uint32 {
	if s == SourceHash || s == Maglev {
		return flagFallback
	}
	return 0
}
