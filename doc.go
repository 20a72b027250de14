// Package swarmnet holds the vocabulary of the system: the objects that managers agree on (cluster, nodes, networks,
// endpoints, services, tasks), the types at their edges (ids, VNIs, MACs) and their validation.
//
// Everything here is plain data: the package imports only the standard library, reads no clock and does no I/O.
// Objects are treated as immutable once they are shared: whoever changes one copies it first, slices and maps included.
package swarmnet
