// Package simulation runs a whole cluster in one goroutine and in virtual time: the managers' state and planners, the dispatcher's feeds, the
// agents' sessions, the tasks' lives, the gossip tables, and what every node computes from all that. Those parts are the real ones, since they are
// values that are stepped. What is between them is made here: a network that delays, loses, cuts and heals, consensus (an entry is in when a
// leader with a majority has it), memberlist's verdicts with its delays, workloads, and kernels that take a while.
//
// Everything random comes from one seed, and events of one moment happen in the order in which they were scheduled: the same seed, the same run.
// A Schedule of a seed cuts nodes off, changes services on both sides and kills tasks, daemons and machines; then all is healed, and a few
// seconds later every node must have in force what follows from the managers' truth. What must hold at every moment is looked at all the time:
// see check.go.
package simulation
