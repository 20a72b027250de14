package doctor

import (
	"fmt"
	"strings"
)

// Action is what a rule does with a packet that it matches.
type Action string

const (
	Accept Action = "accept"
	Drop   Action = "drop" // reject, too
	Jump   Action = "jump"
	Return Action = "return"
	Other  Action = "" // counts, marks, logs: the packet goes on
)

// Rule is one rule of a chain, as far as it matters here: which interfaces it names and what it does.
type Rule struct {
	// IIF and OIF are the interfaces' names, or a prefix ending in "*"; empty: any. A leading "!" negates.
	IIF, OIF string
	// Partly says that it has other conditions: it may or may not match.
	Partly bool
	Action Action
	To     string // of Jump
}

// Chain is a base chain, with the other chains of its table by name.
type Chain struct {
	Family, Table, Name string
	Policy              Action // Accept or Drop
	Rules               []Rule
	Others              map[string][]Rule
}

// outcome is what becomes of a packet in a chain.
type outcome uint8

const (
	goesOn outcome = iota
	accepted
	dropped
)

// maxDepth bounds jumps; the kernel allows 16.
const maxDepth = 16

// verdict walks a packet that comes in by one interface and goes out by another through a base chain. An empty name stands for an
// interface that no rule names.
func (c Chain) verdict(iif, oif string) outcome {
	switch r := c.walk(c.Rules, iif, oif, 0); {
	case r != goesOn:
		return r
	case c.Policy == Drop:
		return dropped
	}
	return accepted
}

// walk leaves rules with further conditions out of account: what only some packets meet does not help the others, and an exception that
// drops some is the admin's wish.
func (c Chain) walk(rules []Rule, iif, oif string, depth int) outcome {
	for _, r := range rules {
		if r.Partly || !names(r.IIF, iif) || !names(r.OIF, oif) {
			continue
		}
		switch r.Action {
		case Accept:
			return accepted
		case Drop:
			return dropped
		case Return:
			return goesOn
		case Jump:
			if depth < maxDepth {
				if got := c.walk(c.Others[r.To], iif, oif, depth+1); got != goesOn {
					return got
				}
			}
		}
	}
	return goesOn
}

func names(pattern, name string) bool {
	if pattern == "" {
		return true
	}
	pattern, not := strings.CutPrefix(pattern, "!")
	prefix, wild := strings.CutSuffix(pattern, "*")
	match := pattern == name
	if wild {
		match = strings.HasPrefix(name, prefix)
	}
	return match != not
}

func firewall(f Facts) []Finding {
	var out []Finding
	for _, c := range f.Chains {
		var lost []string
		if c.verdict(f.HostLink, f.Underlay.Name) == dropped {
			lost = append(lost, "from sandboxes to other hosts")
		}
		if c.verdict(f.Underlay.Name, f.HostLink) == dropped {
			lost = append(lost, "from other hosts to published ports")
		}
		if len(lost) == 0 {
			continue
		}
		why := "its policy is drop and no rule accepts ours"
		if c.Policy != Drop {
			why = "a rule of it drops ours"
		}
		out = append(out, Finding{"firewall", Wrong,
			fmt.Sprintf("chain %s of table %s %s drops what is forwarded %s: %s", c.Name, c.Family, c.Table, strings.Join(lost, " and "), why), c.cure(f.HostLink)})
	}
	for _, t := range f.LegacyTables {
		if t == "filter" {
			out = append(out, Finding{"firewall", Note, "the old iptables' table filter is in use, whose FORWARD chain cannot be seen from here",
				"see that `iptables-legacy -S FORWARD` accepts what comes from and goes to " + f.HostLink})
		}
	}
	if out == nil {
		out = one("firewall", OK, "no chain of the host drops what we forward", "")
	}
	return out
}

// cure is the command that accepts our packets, in the words of the tool that made the chain.
func (c Chain) cure(link string) string {
	if c.Table == "filter" && c.Name == "FORWARD" {
		tool := "iptables"
		if c.Family == "ip6" {
			tool = "ip6tables"
		}
		return fmt.Sprintf("`%[1]s -I FORWARD -i %[2]s -j ACCEPT; %[1]s -I FORWARD -o %[2]s -j ACCEPT`, and have the host's firewall keep it", tool, link)
	}
	return fmt.Sprintf("`nft insert rule %[1]s %[2]s %[3]s iifname %[4]s accept; nft insert rule %[1]s %[2]s %[3]s oifname %[4]s accept`, and have the host's firewall keep it", c.Family, c.Table, c.Name, link)
}
