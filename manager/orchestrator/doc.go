// Package orchestrator says which tasks there should be: so many replicas, one on every node, the old spec's or the new
// one's, and which nodes are given up. It is a pure planner: all that it knows is in the state, its timers included.
//
// In every slot of a service (for a global service: on every node) at most one task is current, that is wanted to run or
// ended without a successor, and during a start-first update one more. A task that is replaced first takes no new
// connections any more, and is told to stop when every node has acknowledged that (see end); its successor is made ready
// at once and runs when the one before has ended.
package orchestrator
