// Package state is what the managers agree on: every object of the cluster, and who holds which address, port and number.
//
// A State is an immutable value. Apply takes one and a command and returns the next, with a Result that says what came of
// it and the Changes that it made. Apply is total and deterministic: no clock, random number, map order or goroutine
// reaches it, so every manager that applies the same entries holds the same state, and Hash tells when one does not.
//
// A command is checked whole before it writes anything: a rejected command leaves the very same State. Planners name exact
// results ("this endpoint gets 10.0.1.7"); Apply checks them again and rejects what is no longer possible.
//
// Invariants:
//   - An address of a network has one holder at most: an endpoint, a service's VIP or a node's ingress address.
//   - An address that was freed rests (ClusterSpec.AddressRest) before it is held again.
//   - Indexes follow from the objects alone: a test rebuilds them from scratch after random commands.
//   - Of one service, slot and spec version, one task at most is wanted.
package state
