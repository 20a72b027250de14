package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// handDir and handName are where the hand-made sandbox of a node is.
const (
	handDir  = "/run/bench"
	handName = "hand"
)

// handMade builds on a node what a person would with `ip` and `bridge`: a namespace, a veth pair, a bridge and a VXLAN device with static
// entries for the other node. It asks as little of the kernel as can be.
func handMade(_ context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("hand", flag.ContinueOnError)
	local, remote := fs.String("local", "", ""), fs.String("remote", "", "")
	addr, peer := fs.String("addr", "", ""), fs.String("peer", "", "")
	mtu := fs.Int("mtu", 1450, "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	var addrs [4]netip.Addr
	for i, text := range []string{*local, *remote, *addr, *peer} {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return err
		}
		addrs[i] = a
	}
	if _, err := netns.Create(handDir, handName); err != nil {
		return err
	}
	host, err := nl.Open("")
	if err != nil {
		return err
	}
	defer host.Close()
	in, err := nl.Open(filepath.Join(handDir, handName))
	if err != nil {
		return err
	}
	defer in.Close()
	if err := handLinks(host, in, addrs, *mtu); err != nil {
		return err
	}
	fmt.Fprintln(out, filepath.Join(handDir, handName))
	return nil
}

func handLinks(host, in *nl.Conn, a [4]netip.Addr, mtu int) error {
	local, remote, addr, peer := a[0], a[1], a[2], a[3]
	if err := host.AddBridge("hbr", swarmnet.MAC{}, mtu); err != nil {
		return err
	}
	if err := host.AddVXLAN("hvx", mtu, nl.VXLAN{VNI: 77, Local: local, Port: 4790, Proxy: true}, host.NS()); err != nil {
		return err
	}
	if err := host.AddVeth(mtu, nl.Veth{Name: "hve"}, nl.Veth{Name: "eth0", MAC: swarmnet.MACFor(addr), NS: in.NS()}); err != nil {
		return err
	}
	links := map[string]nl.Link{}
	for _, name := range []string{"hbr", "hvx", "hve"} {
		l, _, err := host.Link(name)
		if err != nil {
			return err
		}
		links[name] = l
		if name != "hbr" {
			if err := host.SetMaster(l.Index, links["hbr"].Index); err != nil {
				return err
			}
		}
		if err := host.SetUp(l.Index); err != nil {
			return err
		}
	}
	vx := links["hvx"].Index
	if err := host.SetNeighs([]nl.Neigh{
		{Index: vx, MAC: swarmnet.MACFor(peer), VTEP: remote},
		{Index: vx, MAC: swarmnet.MACFor(peer), Addr: peer},
	}); err != nil {
		return err
	}
	eth, _, err := in.Link("eth0")
	if err != nil {
		return err
	}
	if err := in.AddAddr(eth.Index, netip.PrefixFrom(addr, 24)); err != nil {
		return err
	}
	return in.SetUp(eth.Index)
}
