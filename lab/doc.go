// Package lab runs a whole cluster on one machine: every node a set of namespaces with a real daemon, joined by an underlay switch,
// plus `outside`, a host on that underlay that is no member.
//
// One process, the supervisor, is pid 1 of a pid namespace and holds everything else in its own mount and network namespaces (and, for
// an ordinary user, a user namespace in which he is root). Nothing of a lab exists outside them but one directory of files: however the
// supervisor ends, the kernel takes every process, namespace, mount and device with it, and Down has but the directory to remove.
//
//	machine                supervisor (pid, mnt, net)              n1 (pid, mnt, net, uts)
//	lab exec ──────────────────────────────────────────unix──────▶ lab-init ─▶ CMD with the caller's stdio
//	lab kill ───unix─────▶ pid 1 ── br0 192.0.2.0/24 ──veth──────── eth0   └─▶ swarmnet daemon ─▶ workloads
//
// Commands reach a node through the control socket of its own pid 1, which starts them with the caller's descriptors (SCM_RIGHTS,
// unix(7)): nobody ever has to enter a namespace from outside, which an ordinary user could not do from every place.
package lab
