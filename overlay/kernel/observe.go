package kernel

import (
	"strconv"
	"strings"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/overlay"
)

// devices are the devices of a network, as found: a node-local one has a bridge alone.
type devices struct {
	local         bool
	bridge, vxlan nl.Link
	haveB, haveV  bool
	learns        bool // the bridge, from what comes in by VXLAN
}

// whole reports whether all are there, up and joined.
func (d devices) whole() bool {
	bridge := d.haveB && d.bridge.Kind == "bridge" && d.bridge.Up && !d.bridge.FiltersVLANs
	if d.local {
		return bridge
	}
	return bridge && d.haveV && d.vxlan.VXLAN != nil && d.vxlan.Up && !d.learns &&
		d.vxlan.Master == d.bridge.Index && d.vxlan.VXLAN.Proxy && !d.vxlan.VXLAN.Learn && d.vxlan.MTU == d.bridge.MTU
}

// strays are things that have our mark and can belong to nothing.
type strays struct {
	links  []string   // of the fabric
	routes []nl.Route // of the host
}

func (s strays) none() bool { return len(s.links)+len(s.routes) == 0 }

func (c *conns) removeStrays(s strays) error {
	for _, name := range s.links {
		if err := c.fabric.DelLink(name); err != nil {
			return err
		}
	}
	for _, r := range s.routes {
		if err := c.host.DelRoute(r); err != nil {
			return err
		}
	}
	return nil
}

// findDevices collects the bridges and VXLAN devices of the fabric by VNI; strays have our prefix and no VNI.
func findDevices(links []nl.Link) (found map[swarmnet.VNI]devices, strays []string) {
	found = map[swarmnet.VNI]devices{}
	for _, l := range links {
		prefix, text, ok := strings.Cut(l.Name, "-")
		if !ok || prefix != "br" && prefix != "vx" {
			continue
		}
		number, err := strconv.ParseUint(text, 10, 32)
		vni := swarmnet.VNI(number)
		if err != nil || vni == 0 || vni.Local() && prefix == "vx" {
			strays = append(strays, l.Name)
			continue
		}
		d := found[vni]
		d.local = vni.Local()
		if prefix == "br" {
			d.bridge, d.haveB = l, true
		} else {
			d.vxlan, d.haveV = l, true
		}
		found[vni] = d
	}
	return found, strays
}

// observe reads the fabric back as the objects that it is made of.
func (c *conns) observe() (objects []overlay.Object, stray strays, err error) {
	if objects, stray.routes, err = c.observeHost(); err != nil {
		return nil, stray, err
	}
	links, err := c.fabric.Links()
	if err != nil {
		return nil, stray, err
	}
	found, names := findDevices(links)
	stray.links = names
	routes, err := c.fabric.Routes(0)
	if err != nil {
		return nil, stray, err
	}
	for vni, d := range found {
		if d.haveV && d.vxlan.Master != 0 {
			port, err := c.fabric.Port(d.vxlan.Index)
			if err != nil {
				return nil, stray, err
			}
			d.learns = port.Learning
		}
		dev := overlay.Object{Kind: overlay.KindDevices, VNI: vni}
		if d.whole() { // else the zero values: never what is wanted
			dev.MAC, dev.MTU = d.bridge.MAC, d.bridge.MTU
			if !d.local {
				dev.VTEP, dev.Port = d.vxlan.VXLAN.Local, d.vxlan.VXLAN.Port
			}
		}
		objects = append(objects, dev)
		if d.haveB {
			if objects, err = c.observeBridge(objects, vni, d.bridge, routes); err != nil {
				return nil, stray, err
			}
		}
		if d.haveV {
			if objects, err = c.observeVXLAN(objects, vni, d.vxlan); err != nil {
				return nil, stray, err
			}
		}
	}
	return objects, stray, nil
}

func (c *conns) observeBridge(out []overlay.Object, vni swarmnet.VNI, bridge nl.Link, routes []nl.Route) ([]overlay.Object, error) {
	addrs, err := c.fabric.Addrs(bridge.Index)
	if err != nil {
		return nil, err
	}
	for _, p := range addrs {
		out = append(out, overlay.Object{Kind: overlay.KindAddr, VNI: vni, Prefix: p})
	}
	for _, r := range routes {
		if r.Index == bridge.Index && !r.Via.IsValid() { // others lead through the network, and are the mesh's
			out = append(out, overlay.Object{Kind: overlay.KindRoute, VNI: vni, Prefix: r.Dst})
		}
	}
	neighs, err := c.fabric.Neighs(bridge.Index)
	if err != nil {
		return nil, err
	}
	for _, n := range neighs {
		out = append(out, overlay.Object{Kind: overlay.KindNeighbour, VNI: vni, Addr: n.Addr, MAC: n.MAC})
	}
	return out, nil
}

func (c *conns) observeVXLAN(out []overlay.Object, vni swarmnet.VNI, vxlan nl.Link) ([]overlay.Object, error) {
	neighs, err := c.fabric.Neighs(vxlan.Index)
	if err != nil {
		return nil, err
	}
	for _, n := range neighs {
		out = append(out, overlay.Object{Kind: overlay.KindProxy, VNI: vni, Addr: n.Addr, MAC: n.MAC})
	}
	entries, err := c.fabric.FDB(vxlan.Index)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		switch {
		case e.VTEP.IsValid():
			out = append(out, overlay.Object{Kind: overlay.KindFDB, VNI: vni, MAC: e.MAC, VTEP: e.VTEP})
		case e.MAC != vxlan.MAC: // the port's own
			out = append(out, overlay.Object{Kind: overlay.KindPort, VNI: vni, MAC: e.MAC})
		}
	}
	return out, nil
}
