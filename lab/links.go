package lab

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// underlayMTU is that of the underlay's links, in octets.
const underlayMTU = 1500

// links are the interfaces of the process's own network namespace: the few operations of a lab, by name.
type links struct {
	mu sync.Mutex
	c  *nl.Conn
}

func openLinks() (*links, error) {
	c, err := nl.Open("")
	if err != nil {
		return nil, err
	}
	return &links{c: c}, nil
}

func (l *links) close() { l.c.Close() }

// on runs an operation on an interface that must be there.
func (l *links) on(name string, do func(nl.Link) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	link, there, err := l.c.Link(name)
	if err == nil && !there {
		err = fmt.Errorf("there is no interface %s", name)
	}
	if err != nil {
		return err
	}
	return do(link)
}

// createVeth makes a pair: one end here, the other, with a given Ethernet address, in the network namespace of a process.
func (l *links) createVeth(name, peer string, mac swarmnet.MAC, pid int) error {
	ns, err := netns.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return err
	}
	defer ns.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.c.AddVeth(underlayMTU, nl.Veth{Name: name}, nl.Veth{Name: peer, MAC: mac, NS: ns})
}

func (l *links) createBridge(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.c.AddBridge(name, swarmnet.MAC{}, underlayMTU)
}

// probeVXLAN reports whether the kernel can make a VXLAN device.
func (l *links) probeVXLAN() error {
	const name = "probe"
	l.mu.Lock()
	defer l.mu.Unlock()
	probe := nl.VXLAN{VNI: 1, Local: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Port: swarmnet.DefaultDataPathPort}
	if err := l.c.AddVXLAN(name, underlayMTU, probe, l.c.NS()); err != nil {
		return fmt.Errorf("this kernel has no VXLAN (%w): load it with `modprobe vxlan`, or run a kernel built with CONFIG_VXLAN", err)
	}
	return l.c.DelLink(name)
}

func (l *links) up(name string) error {
	return l.on(name, func(link nl.Link) error { return l.c.SetUp(link.Index) })
}

// setMaster makes an interface a port of a bridge; no bridge: of none.
func (l *links) setMaster(name, bridge string) error {
	return l.on(name, func(link nl.Link) error {
		if bridge == "" {
			return l.c.SetMaster(link.Index, 0)
		}
		b, _, err := l.c.Link(bridge)
		if err != nil {
			return err
		}
		return l.c.SetMaster(link.Index, b.Index)
	})
}

// setMTU sets what an interface takes, in octets. The other end of a veth keeps its own, and what is larger gets lost between them without a word.
func (l *links) setMTU(name string, mtu int) error {
	return l.on(name, func(link nl.Link) error { return l.c.SetMTU(link.Index, mtu) })
}

// segment sets of how many segments a packet that leaves by an interface may be, to be cut later, as by offloading hardware.
func (l *links) segment(name string, segments int) error {
	return l.on(name, func(link nl.Link) error { return l.c.SetSegments(link.Index, segments) })
}

// remove deletes an interface; that it is gone already is no error.
func (l *links) remove(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.c.DelLink(name)
}

func (l *links) addAddr(name string, p netip.Prefix) error {
	return l.on(name, func(link nl.Link) error { return l.c.AddAddr(link.Index, p) })
}
