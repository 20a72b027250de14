// Package daemon is one node: it joins and leaves clusters, runs the agent and, while the node is a manager, the manager, and serves the
// local socket through which a person on the host commands it.
package daemon
