package kernel

import (
	"fmt"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/overlay"
)

// apply performs ops in their order; neighbour and forwarding entries, of which there can be many, travel in batches.
func (c *conns) apply(ops []overlay.Op) error {
	index := map[string]int{}
	lookup := func(name string) (int, error) {
		if i, ok := index[name]; ok {
			return i, nil
		}
		l, ok, err := c.fabric.Link(name)
		if err != nil {
			return 0, err
		}
		if !ok {
			return 0, fmt.Errorf("link %s is not there", name)
		}
		index[name] = l.Index
		return l.Index, nil
	}
	var batch []nl.Neigh
	for i, op := range ops {
		switch op.Kind {
		case overlay.KindDevices:
			if err := c.applyDevices(op); err != nil {
				return err
			}
			clear(index)
		case overlay.KindHostRoute:
			if err := c.applyHostRoute(op); err != nil {
				return err
			}
		case overlay.KindAddr, overlay.KindRoute:
			br, err := lookup(overlay.BridgeName(op.VNI))
			if err != nil {
				return err
			}
			if err := c.applyAddr(op, br); err != nil {
				return err
			}
		default:
			name := overlay.VXLANName(op.VNI)
			if op.Kind == overlay.KindNeighbour {
				name = overlay.BridgeName(op.VNI)
			}
			dev, err := lookup(name)
			if err != nil {
				return err
			}
			batch = append(batch, nl.Neigh{Index: dev, MAC: op.MAC, Addr: op.Addr, VTEP: op.VTEP})
		}
		last := i == len(ops)-1
		if len(batch) > 0 && (last || ops[i+1].Remove != op.Remove || ops[i+1].Kind != op.Kind) {
			set := c.fabric.SetNeighs
			if op.Remove {
				set = c.fabric.DelNeighs
			}
			if err := set(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return nil
}

// announce tells the members of networks on this node where addresses are now.
func (c *conns) announce(moved []overlay.Object) error {
	var list []nl.Neigh
	index := map[swarmnet.VNI]int{}
	for _, o := range moved {
		if _, known := index[o.VNI]; !known {
			l, ok, err := c.fabric.Link(overlay.BridgeName(o.VNI))
			if err != nil || !ok {
				return err
			}
			index[o.VNI] = l.Index
		}
		list = append(list, nl.Neigh{Index: index[o.VNI], MAC: o.MAC, Addr: o.Addr})
	}
	return c.fabric.Announce(list)
}

// applyAddr sets or removes an address of a bridge, or the route to a subnet on it. The kernel makes that route with the address, and never again
// when it is lost: so it is one of ours.
func (c *conns) applyAddr(op overlay.Op, br int) error {
	switch {
	case op.Kind == overlay.KindRoute && op.Remove:
		return c.fabric.DelRoute(nl.Route{Dst: op.Prefix, Index: br})
	case op.Kind == overlay.KindRoute:
		return c.fabric.ReplaceRoute(nl.Route{Dst: op.Prefix, Index: br})
	case op.Remove:
		return c.fabric.DelAddr(br, op.Prefix)
	}
	return c.fabric.AddAddr(br, op.Prefix)
}

func (c *conns) applyDevices(op overlay.Op) error {
	br, vx := overlay.BridgeName(op.VNI), overlay.VXLANName(op.VNI)
	if op.Remove {
		if err := c.fabric.DelLink(vx); err != nil {
			return err
		}
		return c.fabric.DelLink(br)
	}
	bridge, err := c.ensureBridge(br, op.Object)
	if err != nil || op.VNI.Local() {
		return err
	}
	return c.ensureVXLAN(vx, bridge, op.Object)
}

func (c *conns) ensureBridge(name string, o overlay.Object) (nl.Link, error) {
	l, ok, err := c.fabric.Link(name)
	if err != nil {
		return nl.Link{}, err
	}
	if ok && l.Kind != "bridge" {
		if err := c.fabric.DelLink(name); err != nil {
			return nl.Link{}, err
		}
		ok = false
	}
	if !ok {
		if err := c.fabric.AddBridge(name, o.MAC, o.MTU); err != nil {
			return nl.Link{}, err
		}
		if l, _, err = c.fabric.Link(name); err != nil {
			return nl.Link{}, err
		}
	}
	if l.MAC != o.MAC {
		if err := c.fabric.SetMAC(l.Index, o.MAC); err != nil {
			return nl.Link{}, err
		}
	}
	if l.MTU != o.MTU {
		if err := c.fabric.SetMTU(l.Index, o.MTU); err != nil {
			return nl.Link{}, err
		}
	}
	if l.FiltersVLANs {
		if err := c.fabric.FilterVLANs(l, false); err != nil {
			return nl.Link{}, err
		}
	}
	return l, c.fabric.SetUp(l.Index)
}

func (c *conns) ensureVXLAN(name string, bridge nl.Link, o overlay.Object) error {
	want := nl.VXLAN{VNI: o.VNI, Local: o.VTEP, Port: o.Port, Proxy: true}
	l, ok, err := c.fabric.Link(name)
	if err != nil {
		return err
	}
	if ok && (l.VXLAN == nil || *l.VXLAN != want) {
		if err := c.fabric.DelLink(name); err != nil {
			return err
		}
		ok = false
	}
	if !ok {
		if l, err = c.makeVXLAN(name, o, want); err != nil {
			return err
		}
	}
	if l.MTU != o.MTU {
		if err := c.fabric.SetMTU(l.Index, o.MTU); err != nil {
			return err
		}
	}
	if l.Master != bridge.Index {
		if err := c.fabric.SetMaster(l.Index, bridge.Index); err != nil {
			return err
		}
	}
	if err := c.fabric.SetPortLearning(l.Index, false); err != nil {
		return err
	}
	return c.fabric.SetUp(l.Index)
}

// makeVXLAN makes the device in the fabric, with its UDP socket in the host's namespace.
func (c *conns) makeVXLAN(name string, o overlay.Object, want nl.VXLAN) (nl.Link, error) {
	if err := c.host.AddVXLAN(name, o.MTU, want, c.fabric.NS()); err != nil {
		return nl.Link{}, err
	}
	l, ok, err := c.fabric.Link(name)
	if err == nil && !ok {
		err = fmt.Errorf("VXLAN device %s, just made, is gone", name)
	}
	return l, err
}
