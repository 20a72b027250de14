// Package kernel makes the routing mesh, host-mode ports and virtual addresses what package ingress computed. It observes before it acts
// and touches only what is its own: the tables inet swarmnet_ingress (host and fabric), bridge swarmnet_ingress, inet
// swarmnet_balancer and inet swarmnet_hairpin (fabric), inet swarmnet_vip (sandboxes), the IPVS services at the fabric's addresses and those of our
// firewall marks in sandboxes, and in the fabric the routes and rules of nl.RouteProtocol that lead to tasks and back to entry nodes.
//
// A connection from a client to node A, for a task on node B: A's host translates to A's fabric, keeping the port; A's fabric picks a task,
// translates to it and routes it to B's fabric over the ingress network; B's fabric notes in a mark by which node the connection came
// in. The answer passes B's fabric, since it is the task's gateway, and the mark sends it back to A, where both translations are undone.
// No source address is ever changed, but for the host's own clients that ask by loopback, and for sandboxes that ask for a task on their own network by
// an address of the host (see hairpinTable).
package kernel
