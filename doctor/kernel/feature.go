package kernel

import (
	"context"
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

// features tries out what sandboxes and networks are made of, in a namespace of its own.
func features() ([]doctor.Feature, error) {
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
	try := func(name, cure string, err error) {
		f := doctor.Feature{Name: name}
		if err != nil {
			f.Err, f.Cure = err.Error(), cure
		}
		out = append(out, f)
	}
	try("veth", "`modprobe veth`", c.AddVeth(1500, nl.Veth{Name: "probe0"}, nl.Veth{Name: "probe1", NS: c.NS()}))
	try("bridge", "`modprobe bridge`", c.AddBridge("probe2", swarmnet.MAC{}, 1500))
	try("VXLAN", "`modprobe vxlan`", c.AddVXLAN("probe3", 1500,
		nl.VXLAN{VNI: 1, Local: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Port: swarmnet.DefaultDataPathPort, Proxy: true}, c.NS()))
	try("nftables NAT", "`modprobe -a nf_tables nft_chain_nat nft_masq nft_fib_inet`", tryNAT(c.NS()))
	return out, nil
}

func tryNAT(ns *netns.Handle) error {
	c, err := nft.Open(ns)
	if err != nil {
		return err
	}
	defer c.Close()
	post := nft.Chain{Name: "post", Base: &nft.Base{Type: "nat", Hook: unix.NF_INET_POST_ROUTING}, Rules: []nft.Rule{nft.R(nft.INet, nft.Masquerade())}}
	_, err = c.Ensure(context.Background(), &nft.Memo{}, nft.Table{Family: nft.INet, Name: "probe", Chains: []nft.Chain{post}})
	return err
}

// clock asks the kernel whether something keeps its clock right (adjtimex(2)).
func clock() doctor.Clock {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return doctor.Clock{}
	}
	return doctor.Clock{Known: true, Synchronised: t.Status&unix.STA_UNSYNC == 0}
}
