package kernel

import (
	"errors"
	"net/netip"

	"github.com/google/nftables"

	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nft"
	"github.com/swarmnet/swarmnet/overlay"
)

// tableName is that of our tables, in the host and in the fabric.
const tableName = "swarmnet_fabric"

// ensureHostTable lets what comes from the fabric out under the host's own addresses.
func ensureHostTable(ns *netns.Handle, up Uplink) error {
	t := nft.Table{Family: nftables.TableFamilyINet, Name: tableName}
	post := nft.Chain{Name: "postrouting", Type: nftables.ChainTypeNAT}
	post.Hook, post.Priority = nft.Base(nftables.ChainHookPostrouting, *nftables.ChainPriorityNATSource)
	for _, p := range []netip.Prefix{up.Fabric4, up.Fabric6} {
		if p.IsValid() {
			post.Rules = append(post.Rules, nft.Match(nft.Saddr(p, false), nft.OIFNot(HostLink), nft.OIFNot("lo"), nft.Masquerade()))
		}
	}
	t.Chains = []nft.Chain{post}
	_, err := nft.Ensure(ns, t)
	return err
}

// ensureFabricTable keeps networks apart, and lets what leaves them out under the fabric's address. Between two of our bridges nothing passes but
// what the routing mesh needs: from the ingress network to the tasks, and the answers back.
func ensureFabricTable(ns *netns.Handle, d overlay.Desired) error {
	forward := nft.Chain{Name: "forward", Type: nftables.ChainTypeFilter}
	forward.Hook, forward.Priority = nft.Base(nftables.ChainHookForward, *nftables.ChainPriorityFilter)
	between := nft.Match(nft.IIFPrefix("br-"), nft.OIFPrefix("br-"))
	for _, n := range d.Networks {
		br := overlay.BridgeName(n.VNI)
		if len(n.Addrs) == 0 { // internal: no way out, even for who addresses the bridge by its MAC
			forward.Rules = append(forward.Rules, nft.Match(nft.IIF(br), nft.OIF(UplinkName), nft.Drop()))
		}
		if !n.Ingress {
			continue
		}
		forward.Rules = append(forward.Rules,
			nft.Match(nft.IIF(br), nft.OIFPrefix("br-"), nft.Accept()),
			nft.Match(nft.IIFPrefix("br-"), nft.OIF(br), nft.Reply(), nft.Accept()))
	}
	forward.Rules = append(forward.Rules,
		nft.Match(between, nft.Drop()),
		nft.Match(nft.OIF(UplinkName), nft.ClampMSS()),
		nft.Match(nft.IIF(UplinkName), nft.ClampMSS()))
	post := nft.Chain{Name: "postrouting", Type: nftables.ChainTypeNAT}
	post.Hook, post.Priority = nft.Base(nftables.ChainHookPostrouting, *nftables.ChainPriorityNATSource)
	post.Rules = []nft.Rule{nft.Match(nft.IIFPrefix("br-"), nft.OIF(UplinkName), nft.Masquerade())}
	_, err := nft.Ensure(ns, nft.Table{Family: nftables.TableFamilyINet, Name: tableName, Chains: []nft.Chain{forward, post}})
	return err
}

// removeTable takes our table off the host.
func removeTable(host *netns.Handle) error {
	return errors.Join(nft.Remove(host, nftables.TableFamilyINet, tableName))
}
