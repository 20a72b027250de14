// Package cnitest is a CNI plugin for tests: it makes true interfaces on a bridge of its own, gives addresses out, writes down how it was
// called, and fails when it is told to. A test binary is the plugin itself: Main comes first in its TestMain, Install puts it in a directory.
package cnitest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
)

const (
	// Type is the plugin's name.
	Type   = "recorder"
	bridge = "rec0"
)

var (
	subnet  = netip.MustParsePrefix("10.88.0.0/24")
	gateway = netip.MustParseAddr("10.88.0.1")
)

// Main is the plugin when it is called as one: then the process is to end with the status.
func Main() (status int, called bool) {
	if os.Getenv("CNI_COMMAND") == "" {
		return 0, false
	}
	err := skel.PluginMainFuncsWithError(skel.CNIFuncs{
		Add: noted(add), Del: noted(del), Check: noted(func(*skel.CmdArgs, conf) error { return nil }),
	}, version.All, "a plugin for tests")
	if err == nil {
		return 0, true
	}
	_ = err.Print()
	return 1, true
}

// conf is the plugin's configuration.
type conf struct {
	types.PluginConf
	Dir           string `json:"dir"` // where it keeps its notes
	RuntimeConfig struct {
		IPs []string `json:"ips"`
		MAC string   `json:"mac"`
	} `json:"runtimeConfig"`
}

// noted writes a call down and does it, or fails where it is told to: at once, or after all was done.
func noted(f func(*skel.CmdArgs, conf) error) func(*skel.CmdArgs) error {
	return func(args *skel.CmdArgs) error {
		var c conf
		if err := json.Unmarshal(args.StdinData, &c); err != nil {
			return err
		}
		command := os.Getenv("CNI_COMMAND")
		if err := c.note(Call{
			Command: command, ContainerID: args.ContainerID, Netns: args.Netns, IfName: args.IfName, Args: args.Args, Stdin: args.StdinData,
		}); err != nil {
			return err
		}
		fail, _ := os.ReadFile(filepath.Join(c.Dir, "fail"))
		if strings.Contains(string(fail), "late "+command) {
			return errors.Join(f(args, c), errors.New("told to fail in the end"))
		}
		if strings.Contains(string(fail), command) {
			return types.NewError(100, "told to fail", "with details")
		}
		return f(args, c)
	}
}

func (c conf) note(call Call) error {
	b, err := json.Marshal(call)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(c.Dir, "calls"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	return errors.Join(err, f.Close())
}

func hostEnd(args *skel.CmdArgs) string {
	return "rec" + swarmnet.ShortID(swarmnet.DeriveID("recorder", args.ContainerID, args.IfName))
}

// hold takes the address that is asked for, else the lowest that is free. A file stands for each that is held.
func (c conf) hold(args *skel.CmdArgs) (netip.Addr, error) {
	if err := os.MkdirAll(filepath.Join(c.Dir, "held"), 0o777); err != nil {
		return netip.Addr{}, err
	}
	for a := gateway.Next(); subnet.Contains(a); a = a.Next() {
		if ips := c.RuntimeConfig.IPs; len(ips) > 0 && netip.MustParseAddr(ips[0]) != a {
			continue
		}
		f, err := os.OpenFile(filepath.Join(c.Dir, "held", a.String()), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return a, err
		}
		_, err = f.WriteString(args.ContainerID + " " + args.IfName)
		return a, errors.Join(err, f.Close())
	}
	return netip.Addr{}, errors.New("no address is free")
}

func add(args *skel.CmdArgs, c conf) error {
	addr, err := c.hold(args)
	if err != nil {
		return err
	}
	mac := swarmnet.MACFor(addr)
	if c.RuntimeConfig.MAC != "" {
		if mac, err = swarmnet.ParseMAC(c.RuntimeConfig.MAC); err != nil {
			return err
		}
	}
	p := netip.PrefixFrom(addr, subnet.Bits())
	if err := wire(args, mac, p); err != nil {
		return err
	}
	inside := 0
	_, all, err := net.ParseCIDR("0.0.0.0/0")
	if err != nil {
		return err
	}
	res := &current.Result{
		CNIVersion: c.CNIVersion,
		Interfaces: []*current.Interface{{Name: args.IfName, Mac: mac.String(), Sandbox: args.Netns}, {Name: bridge}},
		IPs: []*current.IPConfig{{
			Interface: &inside, Address: net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}, Gateway: gateway.AsSlice(),
		}},
		Routes: []*types.Route{{Dst: *all}},
		DNS:    types.DNS{Nameservers: []string{"10.88.0.53"}, Search: []string{"rec.example"}},
	}
	return types.PrintResult(res, c.CNIVersion)
}

// wire joins the sandbox to the plugin's bridge.
func wire(args *skel.CmdArgs, mac swarmnet.MAC, p netip.Prefix) error {
	host, err := nl.Open("")
	if err != nil {
		return err
	}
	defer host.Close()
	b, there, err := host.Link(bridge)
	if err == nil && !there {
		if err = host.AddBridge(bridge, swarmnet.MAC{2, 0x52, 0, 0, 0, 1}, 1500); err != nil {
			return err
		}
		if b, _, err = host.Link(bridge); err != nil {
			return err
		}
		err = errors.Join(host.AddAddr(b.Index, netip.PrefixFrom(gateway, subnet.Bits())), host.SetUp(b.Index))
	}
	if err != nil {
		return err
	}
	in, err := nl.Open(args.Netns)
	if err != nil {
		return err
	}
	defer in.Close()
	ns, err := netns.Open(args.Netns)
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := host.AddVeth(1500, nl.Veth{Name: hostEnd(args)}, nl.Veth{Name: args.IfName, MAC: mac, NS: ns}); err != nil {
		return err
	}
	port, _, err := host.Link(hostEnd(args))
	if err != nil {
		return err
	}
	l, there, err := in.Link(args.IfName)
	if err != nil || !there {
		return fmt.Errorf("%s is not there: %w", args.IfName, err)
	}
	return errors.Join(host.SetMaster(port.Index, b.Index), host.SetUp(port.Index), in.AddAddr(l.Index, p), in.SetUp(l.Index))
}

func del(args *skel.CmdArgs, c conf) error {
	held, err := filepath.Glob(filepath.Join(c.Dir, "held", "*"))
	if err != nil {
		return err
	}
	for _, f := range held {
		if b, _ := os.ReadFile(f); string(b) == args.ContainerID+" "+args.IfName {
			if err := os.Remove(f); err != nil {
				return err
			}
		}
	}
	host, err := nl.Open("")
	if err != nil {
		return err
	}
	defer host.Close()
	return host.DelLink(hostEnd(args))
}
