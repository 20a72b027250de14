package doctor

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// healthy is a host where nothing is wrong.
func healthy() Facts {
	return Facts{
		Now: now, Member: true, Features: []Feature{{Name: "bridges"}, {Name: "VXLAN"}}, Balancer: "ipvs rr", BalancerWhy: "this kernel has IPVS", Forward: "1", Forward6: "0", HostLink: "swarmnet0",
		VXLAN: Port{Number: 4789, Ours: true}, Underlay: Device{Name: "eth0", Addr: netip.MustParseAddr("192.0.2.1"), MTU: 1500},
		Clock: Clock{Known: true, Synchronised: true}, Cert: &Cert{NotBefore: now.Add(-time.Hour), NotAfter: now.Add(23 * time.Hour)},
		Managers: []Path{{Addr: "192.0.2.1:4747"}}, Nodes: []Path{{Name: "n2", Addr: "192.0.2.2:4789", Route: 1500, Arrives: 1500, Told: 1500}},
	}
}

func TestC60_Healthy(t *testing.T) {
	got := Examine(healthy())
	if AnyWrong(got) {
		t.Errorf("%+v", got)
	}
	for _, f := range got {
		if f.Verdict != OK || f.Found == "" || f.Cure != "" {
			t.Errorf("%+v", f)
		}
	}
	if len(got) != 13 {
		t.Errorf("%d checks: %+v", len(got), got)
	}
}

// Which balancer it is and why is told with the daemon and without.
func TestC60_Balancer(t *testing.T) {
	f := healthy()
	f.Balancer, f.BalancerWhy = "nft", "this kernel has no IPVS"
	told := func() (out []string) {
		for _, x := range Examine(f) {
			if x.Check == "balancer" {
				out = append(out, x.Found)
			}
		}
		return out
	}
	for down, want := range map[string]string{
		"":                   "published ports and virtual addresses are balanced by nft: this kernel has no IPVS",
		"it does not answer": "a daemon would balance by nft: this kernel has no IPVS",
	} {
		f.Daemon = down
		if got := told(); len(got) != 1 || got[0] != want {
			t.Errorf("daemon %q: %q, want %q", down, got, want)
		}
	}
	if f.Balancer = ""; len(told()) != 0 {
		t.Errorf("nothing is known, and it says %q", told())
	}
}

// Each thing that can be wrong is named by just one finding, with what to do about it.
func TestC60_EachWrong(t *testing.T) {
	ipt := Chain{Family: "ip", Table: "filter", Name: "FORWARD", Policy: Drop, Rules: []Rule{
		{Partly: true, Action: Accept}, {Action: Jump, To: "DOCKER"}, {Action: Other}},
		Others: map[string][]Rule{"DOCKER": {{IIF: "docker0", Action: Accept}, {OIF: "!docker0", Partly: true, Action: Accept}}}}
	for name, c := range map[string]struct {
		break_      func(*Facts)
		check       string
		verdict     Verdict
		found, cure string
	}{
		"forwarding off":       {func(f *Facts) { f.Forward = "0" }, "forwarding", Wrong, "ip_forward is 0", "sysctl -w net.ipv4.ip_forward=1"},
		"IPv6 forwarding off":  {func(f *Facts) { f.NeedsIPv6 = true }, "forwarding", Wrong, "conf.all.forwarding is 0", "net.ipv6.conf.all.forwarding=1"},
		"short memory":         {func(f *Facts) { f.IdleTCP = 10 * time.Minute }, "idle", Note, "idle for 10m0s", "nf_conntrack_tcp_timeout_established=432000"},
		"no IPv6":              {func(f *Facts) { f.NeedsIPv6, f.Forward6 = true, "" }, "forwarding", Note, "this kernel has no IPv6", "ipv6.disable=1"},
		"drop policy":          {func(f *Facts) { f.Chains = []Chain{ipt} }, "firewall", Wrong, "chain FORWARD of table ip filter drops what is forwarded from sandboxes to other hosts and from other hosts to published ports: its policy is drop", "iptables -I FORWARD -i swarmnet0 -j ACCEPT"},
		"taken port":           {func(f *Facts) { f.VXLAN = Port{Number: 4789, Holder: "flanneld (pid 7)"} }, "vxlan-port", Wrong, "UDP port 4789 is taken by flanneld (pid 7)", "--data-path-port"},
		"small MTU":            {func(f *Facts) { f.Underlay.MTU = 1400 }, "underlay", Wrong, "eth0 has an MTU of 1400, less than 1500: sandboxes get 1350", "ip link set eth0 mtu 1500"},
		"no data path address": {func(f *Facts) { f.Underlay = Device{Err: "no interface has 192.0.2.9"} }, "underlay", Wrong, "192.0.2.9", "--data-path-addr"},
		"br_netfilter":         {func(f *Facts) { f.BridgeNF = []string{"net.bridge.bridge-nf-call-iptables"} }, "br_netfilter", Wrong, "br_netfilter is on", "net.bridge.bridge-nf-call-iptables=0"},
		"in the host only":     {func(f *Facts) { f.HasFabric, f.BridgeNF = true, []string{"net.bridge.bridge-nf-call-iptables"} }, "br_netfilter", Note, "ours do not", "net.bridge.bridge-nf-call-iptables=0"},
		"in the fabric":        {func(f *Facts) { f.HasFabric, f.FabricNF = true, []string{"net.bridge.bridge-nf-call-iptables"} }, "br_netfilter", Wrong, "on in the fabric", "modprobe -r br_netfilter"},
		"missing feature": {func(f *Facts) {
			f.Features = append(f.Features, Feature{Name: "nftables", Err: "no", Cure: "modprobe nf_tables"})
		}, "kernel", Wrong, "nftables does not work: no", "modprobe nf_tables"},
		"missing luxury": {func(f *Facts) {
			f.Features = append(f.Features, Feature{Name: "macvlan", Err: "no", Cure: "modprobe macvlan", Spares: "no macvlan networks"})
		}, "kernel", Note, "macvlan does not work: no: no macvlan networks", "modprobe macvlan"},
		"small MTU over IPv6": {func(f *Facts) { f.Underlay.MTU, f.Underlay.Addr = 1400, netip.MustParseAddr("2001:db8::1") }, "underlay", Wrong, "sandboxes get 1330", "mtu 1500"},
		"unsynchronised":      {func(f *Facts) { f.Clock.Synchronised = false }, "clock", Note, "nothing keeps it right", "NTP"},
		"clock in the past":   {func(f *Facts) { f.Now = now.Add(-2 * time.Hour) }, "clock", Wrong, "before this node's certificate", "set the clock"},
		"expired":             {func(f *Facts) { f.Now = now.Add(25 * time.Hour) }, "certificate", Wrong, "expired at 2026-05-02T11:00:00Z", "join again"},
		"not renewed":         {func(f *Facts) { f.Now = now.Add(20 * time.Hour) }, "certificate", Wrong, "was not renewed", "quorum"},
		"unreadable":          {func(f *Facts) { f.Cert = &Cert{Err: "it is gone"} }, "certificate", Wrong, "it is gone", "join again"},
		"manager cut off":     {func(f *Facts) { f.Managers[0].Err = "no answer" }, "manager", Wrong, "192.0.2.1:4747: no answer", "TCP"},
		"black hole":          {func(f *Facts) { f.Nodes[0].Route, f.Nodes[0].Arrives = 1500, 1300 }, "path-mtu", Wrong, "n2 (192.0.2.2): of packets that its route takes, of up to 1500 octets, none of more than 1300 arrives", "fragmentation needed"},
		"black hole for IPv6": {func(f *Facts) { f.NeedsIPv6, f.Forward6, f.Nodes[0].Route, f.Nodes[0].Arrives = true, "1", 1500, 1329 }, "path-mtu", Wrong, "but none with IPv6, the ingress network neither, below 1280: they need 1330 octets on the way", "fragmentation needed"},
		"one of another's":    {func(f *Facts) { f.Nodes[0].Told = 1300 }, "path-mtu", Note, "n2 (192.0.2.2): it can send and receive 1300 octets, here are 1500", "swarmnet doctor"},
		"node cut off":        {func(f *Facts) { f.Nodes[0].Err = "no answer" }, "node", Wrong, "n2 (192.0.2.2:4789): no answer", "UDP"},
		"daemon down":         {func(f *Facts) { f.Daemon = "it does not answer" }, "daemon", Wrong, "it does not answer", "systemctl start swarmnet"},
		"a storm of queries":  {func(f *Facts) { f.Refused = map[string]uint64{"web": 7} }, "resolver", Note, "7 queries of web were refused", "whether its name servers answer"},
		"not root":            {func(f *Facts) { f.Unseen = []Finding{{Check: "kernel", Found: "needs root"}} }, "kernel", Note, "needs root", ""},
	} {
		f := healthy()
		c.break_(&f)
		var odd []Finding
		for _, x := range Examine(f) {
			if x.Verdict != OK {
				odd = append(odd, x)
			}
		}
		if len(odd) != 1 || odd[0].Check != c.check || odd[0].Verdict != c.verdict || !strings.Contains(odd[0].Found, c.found) || !strings.Contains(odd[0].Cure, c.cure) {
			t.Errorf("%s: %+v", name, odd)
		}
	}
}

func TestC60_ForwardChains(t *testing.T) {
	for name, c := range map[string]struct {
		chain   Chain
		in, out outcome
	}{
		"accepts":             {Chain{Policy: Accept}, accepted, accepted},
		"drops":               {Chain{Policy: Drop}, dropped, dropped},
		"accepts ours":        {Chain{Policy: Drop, Rules: []Rule{{IIF: "swarmnet0", Action: Accept}, {OIF: "swarm*", Action: Accept}}}, accepted, accepted},
		"accepts one way":     {Chain{Policy: Drop, Rules: []Rule{{IIF: "swarmnet0", Action: Accept}}}, dropped, accepted},
		"accepts all":         {Chain{Policy: Drop, Rules: []Rule{{Action: Accept}}}, accepted, accepted},
		"accepts replies":     {Chain{Policy: Drop, Rules: []Rule{{Partly: true, Action: Accept}}}, dropped, dropped},
		"rejects the rest":    {Chain{Policy: Accept, Rules: []Rule{{IIF: "!swarmnet0", Action: Accept}, {Action: Drop}}}, accepted, dropped},
		"drops some":          {Chain{Policy: Accept, Rules: []Rule{{Partly: true, Action: Drop}}}, accepted, accepted},
		"jumps and accepts":   {Chain{Policy: Drop, Rules: []Rule{{Action: Jump, To: "a"}}, Others: map[string][]Rule{"a": {{Action: Accept}}}}, accepted, accepted},
		"jumps and returns":   {Chain{Policy: Drop, Rules: []Rule{{Action: Jump, To: "a"}}, Others: map[string][]Rule{"a": {{Action: Return}, {Action: Accept}}}}, dropped, dropped},
		"jumps for ever":      {Chain{Policy: Accept, Rules: []Rule{{Action: Jump, To: "a"}}, Others: map[string][]Rule{"a": {{Action: Jump, To: "a"}}}}, accepted, accepted},
		"other's interface":   {Chain{Policy: Drop, Rules: []Rule{{IIF: "docker0", Action: Accept}, {OIF: "docker0", Action: Accept}}}, dropped, dropped},
		"returns at the base": {Chain{Policy: Drop, Rules: []Rule{{Action: Return}, {Action: Accept}}}, dropped, dropped},
	} {
		if in, out := c.chain.verdict("eth0", "swarmnet0"), c.chain.verdict("swarmnet0", "eth0"); in != c.in || out != c.out {
			t.Errorf("%s: in %d, out %d", name, in, out)
		}
	}
}
