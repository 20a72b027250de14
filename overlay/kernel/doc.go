// Package kernel makes a node's fabric what overlay.Desired says: the namespace, its way out to the host, and a bridge for each network, with a
// VXLAN device where the network spans a cluster. It observes before it acts, keeps no memory of its own, and touches only what it made: the
// namespace called fabric in our directory, the link swarmnet0 and the routes of nl.RouteProtocol on it (to the subnets of node-local networks),
// and the nftables tables inet swarmnet_fabric.
package kernel
