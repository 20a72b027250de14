package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/sandbox"
	"github.com/swarmnet/swarmnet/gossip"
	ikernel "github.com/swarmnet/swarmnet/ingress/kernel"
	"github.com/swarmnet/swarmnet/internal/nft"
	okernel "github.com/swarmnet/swarmnet/overlay/kernel"
)

// meshPair is two hosts of a stage as swarmnet's daemons make them. Services 0 and 1 have one task each, on the first host and on the second, and two
// published ports: firstPort and the next are asked, those from bulkPublished are taken from.
type meshPair struct {
	s     *stage
	w     *world
	nodes [2]*meshNode
}

const bulkPublished = 5000

type meshNode struct {
	id     swarmnet.NodeID
	fabric *okernel.Fabric
	mesh   *ikernel.Mesh
	boxes  *sandbox.Sandboxes
}

func newMeshPair(s *stage, hosts [2]string) (*meshPair, error) {
	m := &meshPair{s: s}
	for i, host := range hosts {
		dir := filepath.Join(s.dir, "nets-"+host)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return m, err
		}
		clocks := &nft.Clocks{}
		n := &meshNode{id: swarmnet.NodeID("node" + strconv.Itoa(i+1))}
		n.fabric = okernel.New(okernel.Config{HostNS: s.path(host), NetnsDir: dir, Clocks: clocks})
		n.mesh = ikernel.NewMesh(ikernel.Config{HostNS: s.path(host), FabricNS: n.fabric.Path(), Clocks: clocks})
		n.boxes = sandbox.New(sandbox.Config{HostNS: s.path(host), NetnsDir: dir, FabricNS: n.fabric.Path()})
		m.nodes[i] = n
	}
	return m, nil
}

// program puts so many services into force on both hosts; all but the first two have 10 tasks on hosts that are not there.
func (m *meshPair) program(ctx context.Context, services int) error {
	w := newWorld(2, 1)
	w.move("service1.1", "node2")
	for i := range 2 {
		id := swarmnet.ServiceID("service" + strconv.Itoa(i))
		s := w.set.Services[id]
		s.Ports = append(s.Ports, swarmnet.PortSpec{Published: uint16(bulkPublished + i), Target: bulkPort})
		w.set.Services[id] = s
	}
	for i := 2; i < services; i++ {
		id := w.service(i)
		for t := range programTasks {
			w.task(id, t, 3+(i*programTasks+t)%(worldNodes-2))
		}
	}
	m.w = w
	for _, n := range m.nodes {
		if err := n.apply(ctx, w.as(n.id), w.view); err != nil {
			return fmt.Errorf("%s: %w", n.id, err)
		}
	}
	return nil
}

func (n *meshNode) apply(ctx context.Context, set swarmnet.AssignmentSet, view gossip.View) error {
	want := desired.Compute(set, view, desired.Local{UnderlayMTU: 1500})
	if _, err := n.fabric.Reconcile(ctx, want.Overlay); err != nil {
		return err
	}
	for _, t := range want.Tasks {
		ifc := t.Sandbox.Interfaces[0]
		spec := sandbox.Spec{Name: t.Sandbox.Name, Interfaces: []sandbox.Interface{{
			Name: ifc.Name, MAC: ifc.MAC, Addrs: ifc.Addrs, MTU: ifc.MTU, VNI: ifc.VNI, Via: ifc.Via, DefaultVia: ifc.DefaultVia,
		}}}
		if err := n.boxes.Ensure(ctx, spec); err != nil {
			return err
		}
	}
	_, err := n.mesh.Reconcile(ctx, want.Mesh)
	return err
}

// box is the namespace of the task on host i.
func (m *meshPair) box(i int) string {
	return m.nodes[i].boxes.Path(fmt.Sprintf("service%d.1", i))
}

func (m *meshPair) close(ctx context.Context) (err error) {
	for i, n := range m.nodes {
		if n != nil {
			err = errors.Join(err, n.boxes.Delete(ctx, fmt.Sprintf("service%d.1", i)), n.mesh.Close(), n.fabric.Remove(ctx))
		}
	}
	return err
}

// way leads to the tasks by the host with the address.
func (m *meshPair) way(entry netip.Addr) (w way) {
	for i := range w.ask {
		w.ask[i] = netip.AddrPortFrom(entry, uint16(firstPort+i))
		w.bulk[i] = netip.AddrPortFrom(entry, uint16(bulkPublished+i))
	}
	return w
}
