// Package nl speaks rtnetlink(7) for the rest of the system: links, addresses, routes, rules, neighbours and forwarding
// entries of one network namespace, with our own types at its edge. It is the only importer of vishvananda/netlink: dumps that
// the kernel interrupted are repeated here, and long lists of neighbours travel in few system calls.
package nl
