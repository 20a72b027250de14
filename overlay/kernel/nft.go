package kernel

import (
	"errors"
	"net/netip"

	"github.com/google/nftables"

	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nft"
	"github.com/swarmnet/swarmnet/internal/nl"
	"github.com/swarmnet/swarmnet/overlay"
)

// tableName is that of our tables, in the host and in the fabric.
const tableName = "swarmnet_fabric"

// ensureHostTable lets what comes from the fabric out under the host's own addresses, and keeps others than the host itself from going straight
// to the sandboxes of its own networks, past what they publish:
//
//	postrouting: ip saddr 169.254.77.2 oifname != { swarmnet0, lo } masquerade
//	forward: oifname swarmnet0 ip daddr 172.18.0.0/24 ct state new drop
func ensureHostTable(c *nl.Conn, up Uplink, d overlay.Desired) error {
	t := nft.Table{Family: nftables.TableFamilyINet, Name: tableName}
	post := nft.Chain{Name: "postrouting", Type: nftables.ChainTypeNAT}
	post.Hook, post.Priority = nft.Base(nftables.ChainHookPostrouting, *nftables.ChainPriorityNATSource)
	for _, p := range []netip.Prefix{up.Fabric4, up.Fabric6} {
		if p.IsValid() {
			post.Rules = append(post.Rules, nft.Match(nft.Saddr(p, false), nft.OIFNot(HostLink), nft.OIFNot("lo"), nft.Masquerade()))
		}
	}
	forward := nft.Chain{Name: "forward", Type: nftables.ChainTypeFilter}
	forward.Hook, forward.Priority = nft.Base(nftables.ChainHookForward, *nftables.ChainPriorityFilter)
	for _, n := range d.Networks {
		for _, p := range n.Addrs {
			if n.VNI.Local() {
				forward.Rules = append(forward.Rules, nft.Match(nft.OIF(HostLink), nft.Daddr(p, false), nft.CtNew(), nft.Drop()))
			}
		}
	}
	t.Chains = []nft.Chain{post, forward}
	_, err := nft.Ensure(c.Plan(), c.NS(), t)
	return err
}

// ensureFabricTable keeps networks apart, and lets what leaves them out under the fabric's address:
//
//	forward: iifname br-INTERNAL drop                                            no way out, even for who addresses the bridge by its MAC
//	         iifname br-INGRESS oifname "br-*" ether saddr @nodes accept         what other nodes' meshes send here
//	         iifname "br-*" oifname br-INGRESS ct direction reply accept         and the answers
//	         iifname "br-*" oifname "br-*" ct status dnat accept                 sandboxes that ask for published ports
//	         iifname "br-*" oifname "br-*" drop
//	postrouting: iifname br-ROUTED oifname uplink accept
//	             iifname "br-*" oifname uplink masquerade
//
// That a frame on the ingress network comes from the node whose MAC it bears, the sandboxes' locked ports see to.
func ensureFabricTable(c *nl.Conn, d overlay.Desired) error {
	forward := nft.Chain{Name: "forward", Type: nftables.ChainTypeFilter}
	forward.Hook, forward.Priority = nft.Base(nftables.ChainHookForward, *nftables.ChainPriorityFilter)
	post := nft.Chain{Name: "postrouting", Type: nftables.ChainTypeNAT}
	post.Hook, post.Priority = nft.Base(nftables.ChainHookPostrouting, *nftables.ChainPriorityNATSource)
	nodes := nft.Set{Name: "nodes", Key: nftables.TypeEtherAddr}
	between := nft.Match(nft.IIFPrefix("br-"), nft.OIFPrefix("br-"))
	for _, n := range d.Networks {
		br := overlay.BridgeName(n.VNI)
		if len(n.Addrs) == 0 {
			forward.Rules = append(forward.Rules, nft.Match(nft.IIF(br), nft.Drop()))
		}
		if n.Routed {
			post.Rules = append(post.Rules, nft.Match(nft.IIF(br), nft.OIF(UplinkName), nft.Accept()))
		}
		if !n.Ingress {
			continue
		}
		forward.Rules = append(forward.Rules,
			nft.Match(nft.IIF(br), nft.OIFPrefix("br-"), nft.LoadEtherSaddr(), nft.InSet(nodes.Name), nft.Accept()),
			nft.Match(nft.IIFPrefix("br-"), nft.OIF(br), nft.Reply(), nft.Accept()))
		for _, r := range n.Remotes {
			if r.Node {
				nodes.Elements = append(nodes.Elements, nft.Element{Key: string(r.MAC[:])})
			}
		}
	}
	forward.Rules = append(forward.Rules,
		nft.Match(between, nft.CtDNAT(), nft.Accept()),
		nft.Match(between, nft.Drop()),
		nft.Match(nft.OIF(UplinkName), nft.ClampMSS()),
		nft.Match(nft.IIF(UplinkName), nft.ClampMSS()))
	post.Rules = append(post.Rules, nft.Match(nft.IIFPrefix("br-"), nft.OIF(UplinkName), nft.Masquerade()))
	_, err := nft.Ensure(c.Plan(), c.NS(), nft.Table{Family: nftables.TableFamilyINet, Name: tableName, Sets: []nft.Set{nodes}, Chains: []nft.Chain{forward, post}})
	return err
}

// removeTable takes our table off the host.
func removeTable(host *netns.Handle) error {
	return errors.Join(nft.Remove(host, nftables.TableFamilyINet, tableName))
}
