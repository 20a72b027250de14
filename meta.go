package swarmnet

import "time"

// Meta is what every replicated object carries.
type Meta struct {
	// Created and Updated are the cluster revisions of the commands that made and last changed the object.
	Created, Updated     uint64
	CreatedAt, UpdatedAt time.Time
}
