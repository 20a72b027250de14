// Package sandbox makes, adopts and deletes the network namespaces that workloads run in: one bind mount each in the
// daemon's namespace directory, and for each interface a veth pair whose other end is a port of the network's bridge in
// the fabric. What is there is observed, never remembered: Ensure may be called at any time, by any daemon.
package sandbox
