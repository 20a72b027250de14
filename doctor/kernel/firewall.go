package kernel

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/swarmnet/swarmnet/doctor"
	"github.com/swarmnet/swarmnet/internal/netns"
)

// ourTables begin with it.
const ourTables = "swarmnet"

var families = map[nftables.TableFamily]string{
	nftables.TableFamilyINet: "inet", nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6",
}

// forwardChains reads the filter chains of others that forwarded packets pass.
func forwardChains(ns *netns.Handle) ([]doctor.Chain, error) {
	conn, err := nftables.New(nftables.WithNetNSFd(ns.FD()))
	if err != nil {
		return nil, err
	}
	all, err := conn.ListChains()
	if err != nil {
		return nil, err
	}
	var out []doctor.Chain
	for _, base := range all {
		family, ip := families[base.Table.Family]
		if !ip || base.Hooknum == nil || *base.Hooknum != *nftables.ChainHookForward || base.Type != nftables.ChainTypeFilter || strings.HasPrefix(base.Table.Name, ourTables) {
			continue
		}
		c := doctor.Chain{Family: family, Table: base.Table.Name, Name: base.Name, Policy: doctor.Accept, Others: map[string][]doctor.Rule{}}
		if base.Policy != nil && *base.Policy == nftables.ChainPolicyDrop {
			c.Policy = doctor.Drop
		}
		if c.Rules, err = rulesOf(conn, base); err != nil {
			return nil, fmt.Errorf("chain %s of table %s: %w", base.Name, base.Table.Name, err)
		}
		for _, other := range all {
			if other.Table.Name == base.Table.Name && other.Table.Family == base.Table.Family && other.Hooknum == nil {
				if c.Others[other.Name], err = rulesOf(conn, other); err != nil {
					return nil, fmt.Errorf("chain %s of table %s: %w", other.Name, other.Table.Name, err)
				}
			}
		}
		out = append(out, c)
	}
	return out, nil
}

func rulesOf(conn *nftables.Conn, c *nftables.Chain) ([]doctor.Rule, error) {
	rules, err := conn.GetRules(c.Table, c)
	if err != nil {
		return nil, err
	}
	out := make([]doctor.Rule, len(rules))
	for i, r := range rules {
		out[i] = read(r.Exprs)
	}
	return out, nil
}

// read makes of a rule's expressions what package doctor needs. Whatever it does not know is taken for a condition.
func read(exprs []expr.Any) doctor.Rule {
	var r doctor.Rule
	var loaded expr.MetaKey
	load := false // an interface's name is in the register
	for _, e := range exprs {
		switch e := e.(type) {
		case *expr.Counter, *expr.Log:
		case *expr.Meta:
			loaded, load = e.Key, !e.SourceRegister && (e.Key == expr.MetaKeyIIFNAME || e.Key == expr.MetaKeyOIFNAME)
			r.Partly = r.Partly || !load
		case *expr.Cmp:
			name, known := interfaceName(e)
			if !load || !known {
				r.Partly = true
			} else if loaded == expr.MetaKeyIIFNAME {
				r.IIF = name
			} else {
				r.OIF = name
			}
			load = false
		case *expr.Verdict:
			verdict(&r, e)
		case *expr.Reject:
			r.Action = doctor.Drop
		case *expr.Match:
			r.Partly = r.Partly || e.Name != "comment"
		case *expr.Target:
			if e.Name == "REJECT" {
				r.Action = doctor.Drop
			}
		default:
			r.Partly = true
		}
	}
	return r
}

// interfaceName reads what a name is compared with: the whole of it with its end, or the beginning.
func interfaceName(e *expr.Cmp) (string, bool) {
	name, _, whole := bytes.Cut(e.Data, []byte{0})
	s := string(name)
	if !whole && len(e.Data) < 16 {
		s += "*"
	}
	switch e.Op {
	case expr.CmpOpEq:
		return s, true
	case expr.CmpOpNeq:
		return "!" + s, true
	}
	return "", false
}

func verdict(r *doctor.Rule, v *expr.Verdict) {
	switch v.Kind {
	case expr.VerdictAccept:
		r.Action = doctor.Accept
	case expr.VerdictDrop:
		r.Action = doctor.Drop
	case expr.VerdictJump, expr.VerdictGoto:
		r.Action, r.To = doctor.Jump, v.Chain
	case expr.VerdictReturn:
		r.Action = doctor.Return
	}
}

// legacyTables are the tables of the old iptables that are in use; the kernel lists them once they are.
func legacyTables(ns *netns.Handle) (tables []string) {
	_ = ns.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
		tables = strings.Fields(string(b))
		return err // there is no such file without them
	})
	return tables
}
