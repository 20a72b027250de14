package state

import (
	"time"

	"github.com/swarmnet/swarmnet"
)

// Object is one of swarmnet.Cluster, Node, Network, Service, Task and Endpoint, as a value. It is shared: read only.
type Object any

// Kind is the sort of an object.
type Kind string

const (
	KindCluster  Kind = "cluster"
	KindNode     Kind = "node"
	KindNetwork  Kind = "network"
	KindService  Kind = "service"
	KindTask     Kind = "task"
	KindEndpoint Kind = "endpoint"
)

// Change is one object that a command made, changed or removed.
type Change struct {
	Revision uint64
	At       time.Time
	Actor    string
	// Before is nil for an object that was made, After for one that was removed.
	Before, After Object
}

func (c Change) object() Object {
	if c.After != nil {
		return c.After
	}
	return c.Before
}

// Acknowledgement reports whether nothing has changed but how far a node is: bookkeeping, which nobody wished for.
func (c Change) Acknowledgement() bool {
	before, ok := c.Before.(swarmnet.Node)
	after, still := c.After.(swarmnet.Node)
	return ok && still && before.Applied < after.Applied && before.Meta.Updated == after.Meta.Updated
}

// Kind is the sort of the object that changed.
func (c Change) Kind() Kind {
	k, _, _ := describe(c.object())
	return k
}

// ID is the id of the object that changed.
func (c Change) ID() string {
	_, id, _ := describe(c.object())
	return id
}

// Name is the name of the object that changed, as tables show it.
func (c Change) Name() string {
	_, _, name := describe(c.object())
	return name
}

// Action is "create", "update" or "remove".
func (c Change) Action() string {
	switch {
	case c.Before == nil:
		return "create"
	case c.After == nil:
		return "remove"
	}
	return "update"
}

func describe(o Object) (k Kind, id, name string) {
	switch o := o.(type) {
	case swarmnet.Cluster:
		return KindCluster, string(o.ID), ""
	case swarmnet.Node:
		return KindNode, string(o.ID), o.Name()
	case swarmnet.Network:
		return KindNetwork, string(o.ID), o.Spec.Name
	case swarmnet.Service:
		return KindService, string(o.ID), o.Spec.Name
	case swarmnet.Task:
		return KindTask, string(o.ID), o.Name()
	case swarmnet.Endpoint:
		return KindEndpoint, string(o.ID), swarmnet.ShortID(o.ID)
	}
	return "", "", ""
}
