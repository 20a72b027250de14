// Package local is the node's own networks and sandboxes, those that a person made on this node and no cluster knows: a value that
// is stepped, as the managers' state is. Each step validates and allocates into a new State; Fragment shows a State to the agent in
// the form of an assignment set, so that everything which knows tasks (the executor, the resolver, the mesh) knows sandboxes by that.
//
// The package is pure: what the host knows (its routes, its ports, the time) is an argument. Package store keeps a State on disk.
package local
