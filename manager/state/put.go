package state

import "github.com/swarmnet/swarmnet"

// Objects are put and removed here and nowhere else.

func metaOf[T any](it *item[T], m func(*T) *swarmnet.Meta) *swarmnet.Meta {
	if it == nil {
		return nil
	}
	return m(&it.v)
}

func (x *tx) putCluster(v swarmnet.Cluster) {
	old := x.s.cluster
	x.stamp(&v.Meta, metaOf(old, func(v *swarmnet.Cluster) *swarmnet.Meta { return &v.Meta }))
	it := &item[swarmnet.Cluster]{v: v}
	x.s.cluster = it
	if x.draft {
		return
	}
	var before Object
	if old != nil {
		before = old.v
	}
	x.record(before, v)
	if _, ok := x.sums[string(KindCluster)]; ok {
		return
	}
	if old != nil {
		x.s.hash -= old.sum
	}
	x.sums[string(KindCluster)] = func() {
		x.s.cluster.sum = digestObject(x.s.cluster.v)
		x.s.hash += x.s.cluster.sum
	}
}

func (x *tx) putNode(v swarmnet.Node) {
	old, _ := x.s.nodes.get(string(v.ID))
	x.stamp(&v.Meta, metaOf(old, func(v *swarmnet.Node) *swarmnet.Meta { return &v.Meta }))
	store(x, &x.s.nodes, KindNode, string(v.ID), old, &v, (*State).nodeEntries)
}

// putNodeAsIs keeps the node's Meta: what has changed is nobody's wish, and must not make one fail that is made from what was read before.
func (x *tx) putNodeAsIs(v swarmnet.Node) {
	old, _ := x.s.nodes.get(string(v.ID))
	x.write()
	store(x, &x.s.nodes, KindNode, string(v.ID), old, &v, (*State).nodeEntries)
}

func (x *tx) deleteNode(id swarmnet.NodeID) {
	if old, ok := x.s.nodes.get(string(id)); ok {
		x.write()
		store(x, &x.s.nodes, KindNode, string(id), old, nil, (*State).nodeEntries)
	}
}

func indexNetwork(_ *State, v swarmnet.Network, out emit) { networkEntries(v, out) }

func (x *tx) putNetwork(v swarmnet.Network) {
	old, _ := x.s.networks.get(string(v.ID))
	x.stamp(&v.Meta, metaOf(old, func(v *swarmnet.Network) *swarmnet.Meta { return &v.Meta }))
	store(x, &x.s.networks, KindNetwork, string(v.ID), old, &v, indexNetwork)
	x.openPools(v)
}

func (x *tx) deleteNetwork(id swarmnet.NetworkID) {
	if old, ok := x.s.networks.get(string(id)); ok {
		x.write()
		store(x, &x.s.networks, KindNetwork, string(id), old, nil, indexNetwork)
		x.closePools(old.v)
	}
}

func indexService(_ *State, v swarmnet.Service, out emit) { serviceEntries(v, out) }

func (x *tx) putService(v swarmnet.Service) {
	old, _ := x.s.services.get(string(v.ID))
	x.stamp(&v.Meta, metaOf(old, func(v *swarmnet.Service) *swarmnet.Meta { return &v.Meta }))
	store(x, &x.s.services, KindService, string(v.ID), old, &v, indexService)
}

func (x *tx) deleteService(id swarmnet.ServiceID) {
	if old, ok := x.s.services.get(string(id)); ok {
		x.write()
		store(x, &x.s.services, KindService, string(id), old, nil, indexService)
	}
}

func indexTask(_ *State, v swarmnet.Task, out emit) { taskEntries(v, out) }

func (x *tx) putTask(v swarmnet.Task) {
	old, _ := x.s.tasks.get(string(v.ID))
	x.stamp(&v.Meta, metaOf(old, func(v *swarmnet.Task) *swarmnet.Meta { return &v.Meta }))
	store(x, &x.s.tasks, KindTask, string(v.ID), old, &v, indexTask)
}

func (x *tx) deleteTask(id swarmnet.TaskID) {
	if old, ok := x.s.tasks.get(string(id)); ok {
		x.write()
		store(x, &x.s.tasks, KindTask, string(id), old, nil, indexTask)
	}
}

func indexEndpoint(_ *State, v swarmnet.Endpoint, out emit) { endpointEntries(v, out) }

func (x *tx) putEndpoint(v swarmnet.Endpoint) {
	old, _ := x.s.endpoints.get(string(v.ID))
	x.stamp(&v.Meta, metaOf(old, func(v *swarmnet.Endpoint) *swarmnet.Meta { return &v.Meta }))
	store(x, &x.s.endpoints, KindEndpoint, string(v.ID), old, &v, indexEndpoint)
}

func (x *tx) deleteEndpoint(id swarmnet.EndpointID) {
	if old, ok := x.s.endpoints.get(string(id)); ok {
		x.write()
		store(x, &x.s.endpoints, KindEndpoint, string(id), old, nil, indexEndpoint)
	}
}
