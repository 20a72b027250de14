// Package allocator gives networks their VNI and subnets, nodes their ingress addresses, services their virtual addresses
// and ports, and tasks their endpoints. It is a pure planner: what is taken it reads from the state, and it keeps nothing.
package allocator
