package kernel

import (
	"context"
	"math"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nft"
	"github.com/swarmnet/swarmnet/overlay"
)

// tableName is that of our tables, in the host and in the fabric.
const tableName = "swarmnet_fabric"

// chains are the forward and the postrouting chain of a table of ours, with their rules to come.
func chains() (forward, post nft.Chain) {
	const filter, srcNAT = 0, 100 // priorities (linux/netfilter_ipv4.h)
	return nft.Chain{Name: "forward", Base: &nft.Base{Type: "filter", Hook: unix.NF_INET_FORWARD, Priority: filter}},
		nft.Chain{Name: "postrouting", Base: &nft.Base{Type: "nat", Hook: unix.NF_INET_POST_ROUTING, Priority: srcNAT}}
}

func rule(parts ...nft.Part) nft.Rule { return nft.R(nft.INet, parts...) }

// firstPort of those that who asks gets under another address, the last one is 65535: above what services use to publish. An answer that comes when its
// connection is forgotten, a task's last datagram or a segment sent once more, looks like a question. From the published port it would take that up:
// what the client asks there next would be an answer to it, and go to the old task.
const firstPort = 32768

// masquerade hides what the parts choose behind the address of the interface by which it leaves.
func masquerade(chosen ...nft.Part) (out []nft.Rule) {
	for _, proto := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		out = append(out, rule(append(slices.Clone(chosen), nft.L4Proto(proto), nft.MasqueradeTo(firstPort, math.MaxUint16))...))
	}
	return append(out, rule(append(chosen, nft.Masquerade())...))
}

// hostTable lets what comes from the fabric out under the host's own addresses, and keeps others than the host itself from going straight
// to the sandboxes of its own networks, past what they publish:
//
//	postrouting: ip saddr 169.254.77.2 oifname != { swarmnet0, lo } masquerade to :32768-65535
//	forward: ct state != new accept
//	         oifname swarmnet0 ip daddr 172.18.0.0/24 drop
//
// All that the host forwards passes that chain, so a host without such networks has none.
func hostTable(up Uplink, d overlay.Desired) nft.Table {
	forward, post := chains()
	for _, p := range []netip.Prefix{up.Fabric4, up.Fabric6} {
		if p.IsValid() {
			host := netip.PrefixFrom(p.Addr(), p.Addr().BitLen())
			post.Rules = append(post.Rules, masquerade(nft.SaddrIn(host), nft.OIFNot(HostLink), nft.OIFNot("lo"))...)
		}
	}
	for _, n := range d.Networks {
		for _, p := range n.Addrs {
			if n.VNI.Local() {
				forward.Rules = append(forward.Rules, rule(nft.OIFName(HostLink), nft.DaddrIn(p), nft.Drop()))
			}
		}
	}
	t := nft.Table{Family: nft.INet, Name: tableName, Chains: []nft.Chain{post}}
	if len(forward.Rules) > 0 {
		forward.Rules = slices.Insert(forward.Rules, 0, rule(nft.CTNotNew(), nft.Accept()))
		t.Chains = append(t.Chains, forward)
	}
	return t
}

// fabricTable keeps networks apart, and lets what leaves them out under the fabric's address:
//
//	forward: iifname @closed drop                             internal networks: no way out, even for who addresses the bridge by its MAC
//	         iif != uplink oif != uplink goto between
//	         the clamp                                        of handshakes: no segment size is told later
//	between: ct mark and 0x10000 == 0x10000 accept            what other nodes' meshes sent here first, and the answers
//	         iifname br-INGRESS ether saddr @nodes accept     the same, should nobody mark it
//	         oifname br-INGRESS ct direction reply accept
//	         ct status dnat accept                            sandboxes that ask for published ports
//	         drop
//	postrouting: oif != uplink accept
//	             iifname br-ROUTED oifname uplink accept
//	             iifname "br-*" oifname uplink masquerade to :32768-65535
//
// Each packet passes this chain, and each name of an interface costs it: so the rule for internal networks is there only with such networks, and the
// uplink, which is there before the rules are, goes by its index. What keeps networks apart is asked of every packet: a connection that came about while
// somebody had removed the table ends when it is there again.
// That a frame on the ingress network comes from the node whose MAC it bears, the sandboxes' locked ports see to.
func fabricTable(d overlay.Desired, uplink int) nft.Table {
	forward, post := chains()
	post.Rules = []nft.Rule{rule(nft.OIFIsNot(uplink), nft.Accept())}
	between := nft.Chain{Name: "between"}
	nodes := nft.Set{Name: "nodes", Key: nft.TypeEther, Elems: map[string]string{}}
	closed := nft.Set{Name: "closed", Key: nft.TypeIface, Elems: map[string]string{}}
	for _, n := range d.Networks {
		br := overlay.BridgeName(n.VNI)
		if len(n.Addrs) == 0 {
			closed.Elems[nft.KeyIface(br)] = ""
		}
		if n.Routed {
			post.Rules = append(post.Rules, rule(nft.IIFName(br), nft.OIFName(UplinkName), nft.Accept()))
		}
		if !n.Ingress {
			continue
		}
		between.Rules = append(between.Rules,
			rule(nft.CTMarkHas(overlay.EntryMark), nft.Accept()),
			rule(nft.IIFName(br), nft.Ethernet(), nft.In(nodes.Name, nft.FieldMAC), nft.Accept()),
			rule(nft.OIFName(br), nft.CTReply(), nft.Accept()))
		for _, r := range n.Remotes {
			if r.Node {
				nodes.Elems[string(r.MAC[:])] = ""
			}
		}
	}
	between.Rules = append(between.Rules, rule(nft.CTDNAT(), nft.Accept()), rule(nft.Drop()))
	if len(closed.Elems) > 0 {
		forward.Rules = append(forward.Rules, rule(nft.In(closed.Name, nft.FieldIIFName), nft.Drop()))
	}
	forward.Rules = append(forward.Rules,
		rule(nft.IIFIsNot(uplink), nft.OIFIsNot(uplink), nft.GotoChain(between.Name)),
		rule(nft.ClampMSS()))
	post.Rules = append(post.Rules, masquerade(nft.IIFPrefix("br-"), nft.OIFName(UplinkName))...)
	return nft.Table{Family: nft.INet, Name: tableName, Sets: []nft.Set{nodes, closed}, Chains: []nft.Chain{forward, post, between}}
}

// ensureTable makes the table of a namespace what it must be; memo is what the last pass remembers of it.
func (f *Fabric) ensureTable(ctx context.Context, ns *netns.Handle, memo *nft.Memo, t nft.Table) error {
	return f.cfg.Clocks.With(ns, func(c *nft.Conn) error {
		_, err := c.Ensure(ctx, memo, t)
		return err
	})
}

// removeTable takes our table off the host.
func removeTable(host *netns.Handle) error {
	c, err := nft.Open(host)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Remove(nft.INet, tableName)
}
