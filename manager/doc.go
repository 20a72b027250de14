// Package manager is a manager of a cluster: a replica of the state, the leader's planners, and the servers that
// answer other managers, agents and admins.
//
// What is committed is applied to an immutable state that everything else reads; what changes is appended to a bounded
// ring that watchers read with cursors of their own. Whoever wants a change proposes a command and waits for its result.
package manager
