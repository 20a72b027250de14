// Package kernel makes a node's fabric what overlay.Desired says: the namespace, its way out to the host, and a bridge
// with a VXLAN device for each network. It observes before it acts, keeps no memory of its own, and touches only what it made: the
// namespace called fabric in our directory, the link swarmnet0, and the nftables tables inet swarmnet_fabric.
package kernel
