package kernel

import (
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/nft"
	"github.com/swarmnet/swarmnet/overlay"
)

// markBit is set in the mark of every connection that came in by another node; the bits below are that node's index.
const markBit = overlay.EntryMark

// fabricTables remember by which node a connection came in and send its answers back there:
//
//	raw:     iifname br-4096 ct original zone set ether saddr map @zones    one client port to two entry nodes may live twice
//	mark:    ip daddr 169.254.77.2 iifname != uplink drop                   from a sandbox: what is bound to loopback is nobody else's
//	         iifname br-4096 ct mark set ether saddr map @marks
//	mangle:  ct direction reply ct mark and 0x10000 == 0x10000 meta mark set ct mark
//	bridge output: oifname vx-4096 ether daddr set meta mark map @entries   the routing table leads to a placeholder neighbour
//	               oifname vx-4096 meta mark set 0                          VXLAN's outer route lookup would inherit the mark
//
// The marking goes by the connection's direction, not by the interface, so that tasks on the ingress network itself, whose answers come in
// by br-4096 too, are answered for as well. A chain of type nat, as mark is, takes a connection's first packet alone; all others cost it nothing.
func fabricTables(cfg Config, m ingress.Mesh) []nft.Table {
	inet := nft.Table{Family: nft.INet, Name: tableName}
	bridge := nft.Table{Family: nft.Bridge, Name: tableName}
	zones := nft.Set{Name: "zones", Key: nft.TypeEther, Data: nft.TypeZone, HostOrder: true, Elems: map[string]string{}}
	marks := nft.Set{Name: "marks", Key: nft.TypeEther, Data: nft.TypeMark, HostOrder: true, Elems: map[string]string{}}
	entries := nft.Set{Name: "entries", Key: nft.TypeMark, Data: nft.TypeEther, Elems: map[string]string{}}
	for _, p := range m.Peers {
		word := keyNative(markBit | uint32(p.Node))
		zones.Elems[keyMAC(p.MAC)] = dataZone(p.Node)
		marks.Elems[keyMAC(p.MAC)] = word
		entries.Elems[word] = keyMAC(p.MAC)
	}
	raw := nft.Chain{Name: "raw", Base: base("filter", unix.NF_INET_PRE_ROUTING, priorityRaw)}
	mark := nft.Chain{Name: "mark", Base: base("nat", unix.NF_INET_PRE_ROUTING, priorityMangle)}
	for _, a := range cfg.FabricAddrs {
		mark.Rules = append(mark.Rules, nft.R(nft.INet, nft.NFProto(a.Is6()), nft.Daddr(a.AsSlice()), nft.IIFNot(cfg.Uplink), nft.Drop()))
	}
	mangle := nft.Chain{Name: "mangle", Base: base("filter", unix.NF_INET_PRE_ROUTING, priorityMangle)}
	// A connection whose source port clashes with that of another zone gets another one here; that needs a chain, not a rule.
	post := nft.Chain{Name: "postrouting", Base: base("nat", unix.NF_INET_POST_ROUTING, prioritySrcNAT)}
	out := nft.Chain{Name: "output", Base: base("filter", unix.NF_INET_LOCAL_OUT, priorityFilter)} // NF_BR_LOCAL_OUT is the same number
	if m.VNI != 0 {
		br, vx := overlay.BridgeName(m.VNI), overlay.VXLANName(m.VNI)
		raw.Rules = append(raw.Rules, nft.R(nft.INet, nft.IIFName(br), nft.CTOriginalZoneMap(zones.Name, nft.FieldMAC)))
		mark.Rules = append(mark.Rules, nft.R(nft.INet, nft.IIFName(br), nft.CTMarkMap(marks.Name, nft.FieldMAC)))
		mangle.Rules = []nft.Rule{nft.R(nft.INet, nft.CTReply(), nft.CTMarkHas(markBit), nft.MarkFromCT())}
		out.Rules = []nft.Rule{
			nft.R(nft.Bridge, nft.OIFName(vx), nft.EtherDaddrMap(entries.Name, nft.FieldMark)),
			nft.R(nft.Bridge, nft.OIFName(vx), nft.ClearMark()),
		}
	}
	inet.Sets, inet.Chains = []nft.Set{zones, marks}, []nft.Chain{raw, mark, mangle, post}
	bridge.Sets, bridge.Chains = []nft.Set{entries}, []nft.Chain{out}
	return []nft.Table{inet, bridge}
}
