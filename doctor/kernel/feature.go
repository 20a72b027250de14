package kernel

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/doctor"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nft"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// Features tries out what sandboxes and networks are made of, in a namespace of its own. (IPVS is tried by whoever chooses the balancer.) An error
// says that there was no such namespace to try it in.
func Features() ([]doctor.Feature, error) {
	dir, err := os.MkdirTemp("", "swarmnet-doctor-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if _, err := netns.Create(dir, "ns"); err != nil {
		return nil, err
	}
	defer netns.Delete(dir, "ns")
	c, err := nl.Open(filepath.Join(dir, "ns"))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	out := []doctor.Feature{{Name: "network namespaces"}}
	try := func(f doctor.Feature, err error) {
		if err != nil {
			f.Err = err.Error()
		}
		out = append(out, f)
	}
	try(doctor.Feature{Name: "veth", Cure: "`modprobe veth`"}, c.AddVeth(1500, nl.Veth{Name: "probe0"}, nl.Veth{Name: "probe1", NS: c.NS()}))
	try(doctor.Feature{Name: "bridge", Cure: "`modprobe bridge`"}, c.AddBridge("probe2", swarmnet.MAC{}, 1500))
	try(doctor.Feature{Name: "VXLAN", Cure: "`modprobe vxlan`"}, c.AddVXLAN("probe3", 1500,
		nl.VXLAN{VNI: 1, Local: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Port: swarmnet.DefaultDataPathPort, Proxy: true}, c.NS()))
	try(doctor.Feature{Name: "macvlan", Cure: "`modprobe macvlan`", Spares: "networks of the driver macvlan cannot be used here"}, tryMacvlan(c))
	try(doctor.Feature{Name: "nftables NAT", Cure: "`modprobe -a nf_tables nft_chain_nat nft_masq nft_fib_inet nft_numgen`"}, tryTable(c.NS(), natTable()))
	try(doctor.Feature{Name: "nftables for bridges", Cure: "`modprobe nft_meta_bridge`, or a kernel with CONFIG_NF_TABLES_BRIDGE"}, tryTable(c.NS(), bridgeTable()))
	return out, nil
}

func tryMacvlan(c *nl.Conn) error {
	parent, ok, err := c.Link("probe0")
	if err != nil || !ok {
		return cmp.Or(err, errors.New("there is no device to put it on"))
	}
	return c.AddMacvlan(nl.Macvlan{Name: "probe4", Parent: parent.Index, MTU: 1500}, c.NS())
}

// tryTable asks the kernel for a table with such rules as ours have. The namespace, and the table with it, is about to go.
func tryTable(ns *netns.Handle, t nft.Table) error {
	c, err := nft.Open(ns)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Ensure(context.Background(), &nft.Memo{}, t)
	return err
}

// natTable translates addresses as published ports and ways out need it: fib, numgen, dnat, masquerade.
func natTable() nft.Table {
	slots := nft.Set{Name: "slots", Key: nft.TypeMark}
	pre := nft.Chain{Name: "pre", Base: &nft.Base{Type: "nat", Hook: unix.NF_INET_PRE_ROUTING},
		Rules: []nft.Rule{nft.R(nft.INet, nft.NFProto(false), nft.DaddrLocal(), nft.In(slots.Name, nft.FieldRandom(2)), nft.DNAT([]byte{127, 0, 0, 1}))}}
	post := nft.Chain{Name: "post", Base: &nft.Base{Type: "nat", Hook: unix.NF_INET_POST_ROUTING}, Rules: []nft.Rule{nft.R(nft.INet, nft.Masquerade())}}
	return nft.Table{Family: nft.INet, Name: "probe", Sets: []nft.Set{slots}, Chains: []nft.Chain{pre, post}}
}

// bridgeTable sees frames that leave a bridge, as answers through the mesh do on their way to the node that was asked.
func bridgeTable() nft.Table {
	out := nft.Chain{Name: "out", Base: &nft.Base{Type: "filter", Hook: unix.NF_INET_LOCAL_OUT /* NF_BR_LOCAL_OUT is the same number */}, Rules: []nft.Rule{nft.R(nft.Bridge, nft.OIFName("probe3"), nft.ClearMark())}}
	return nft.Table{Family: nft.Bridge, Name: "probe", Chains: []nft.Chain{out}}
}

// clock asks the kernel whether something keeps its clock right (adjtimex(2)).
func clock() doctor.Clock {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return doctor.Clock{}
	}
	return doctor.Clock{Known: true, Synchronised: t.Status&unix.STA_UNSYNC == 0}
}
