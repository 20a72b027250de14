package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/plan"
)

// bufferSize is asked for the socket: a transaction of ten thousand elements is a megabyte.
const bufferSize = 8 << 20

// chunk is how many elements go into one message (an attribute is 64 KiB at most), and, where the socket's buffer could not be made large, into one
// transaction.
const chunk = 500

// conn opens nftables in a namespace; large says that a transaction may be of any size.
func conn(ns *netns.Handle) (c *nftables.Conn, large bool, err error) {
	large = true
	c, err = nftables.New(nftables.WithNetNSFd(ns.FD()), nftables.AsLasting(), nftables.WithSockOptions(func(s *netlink.Conn) error {
		raw, err := s.SyscallConn()
		if err != nil {
			return err
		}
		return raw.Control(func(fd uintptr) {
			// FORCE passes the machine's limit and is root's alone; in a user namespace the limit holds.
			for opt, fallback := range map[int]int{unix.SO_SNDBUFFORCE: unix.SO_SNDBUF, unix.SO_RCVBUFFORCE: unix.SO_RCVBUF} {
				if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, opt, bufferSize) != nil {
					large = false
					_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, fallback, bufferSize) // as much as is allowed
				}
			}
		})
	}))
	if err != nil {
		return nil, false, fmt.Errorf("cannot open nftables: %w", err)
	}
	return c, large, nil
}

// Ensure makes the table what t says and returns how many things it had to change: 0 when all was well. What is in the table and not in t goes. The
// changes are told to p; when it is dry nothing is done.
func Ensure(p *plan.Plan, ns *netns.Handle, t Table) (changes int, err error) {
	digest, err := t.digest()
	if err != nil {
		return 0, err
	}
	c, large, err := conn(ns)
	if err != nil {
		return 0, err
	}
	defer c.CloseLasting()
	have, ok, err := observe(c, t, digest)
	if err != nil {
		return 0, fmt.Errorf("nftables table %s: %w", t.Name, err)
	}
	switch {
	case ok:
		changes, err = update(p, c, large, t, have)
	case p.IsDry():
		p.Add("%s", t)
	default:
		p.Add("%s", t)
		changes, err = replace(c, large, t, digest)
	}
	if err != nil {
		return changes, fmt.Errorf("nftables table %s: %w", t.Name, explain(err))
	}
	return changes, nil
}

// Remove takes a table away; an absent one is gone already.
func Remove(ns *netns.Handle, family nftables.TableFamily, name string) error {
	c, _, err := conn(ns)
	if err != nil {
		return err
	}
	defer c.CloseLasting()
	table := &nftables.Table{Family: family, Name: name}
	c.AddTable(table) // deleting what is not there would fail
	c.DelTable(table)
	if err := c.Flush(); err != nil {
		return fmt.Errorf("cannot remove nftables table %s: %w", name, explain(err))
	}
	return nil
}

func explain(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EOPNOTSUPP) {
		return fmt.Errorf("%w: this kernel's nftables lacks something (nat, fib, numgen or maps), load its modules", err)
	}
	return err
}

// observed are the elements of each set of a table whose structure is right.
type observed map[string]map[Element]bool

// observe reports false when the table is absent or its structure is not t's.
func observe(c *nftables.Conn, t Table, digest string) (observed, bool, error) {
	table, err := c.ListTableOfFamily(t.Name, t.Family)
	if err != nil {
		if absent(err) {
			return nil, false, nil
		}
		return nil, false, err
	}
	for _, chain := range t.Chains {
		rules, err := c.GetRules(table, &nftables.Chain{Name: chain.Name, Table: table})
		if absent(err) || err == nil && len(rules) != len(chain.Rules) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		for i, r := range rules {
			if got, _ := userdata.GetString(r.UserData, userdata.TypeComment); got != mark(digest, chain.Name, i) {
				return nil, false, nil
			}
		}
	}
	out := observed{}
	for _, s := range t.Sets {
		elements, err := c.GetSetElements(&nftables.Set{Table: table, Name: s.Name})
		if absent(err) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		out[s.Name] = make(map[Element]bool, len(elements))
		for _, e := range elements {
			got := Element{Key: string(e.Key)}
			switch {
			case s.Verdict:
				got.Chain = verdictChain(e.Val)
			case s.Map:
				got.Data = string(e.Val)
			}
			out[s.Name][got] = true
		}
	}
	right, err := shaped(c, table, t)
	return out, right, err
}

// shaped reports whether a table has the chains and sets of t and no others: a chain that somebody added could drop everything, and so could
// another policy.
func shaped(c *nftables.Conn, table *nftables.Table, t Table) (bool, error) {
	chains, err := c.ListChainsOfTableFamily(t.Family)
	if err != nil {
		return false, err
	}
	left := map[string]Chain{}
	for _, ch := range t.Chains {
		left[ch.Name] = ch
	}
	for _, ch := range chains {
		if ch.Table.Name != t.Name {
			continue
		}
		want, ok := left[ch.Name]
		if !ok || (ch.Hooknum != nil) != (want.Hook != nil) || ch.Policy != nil && *ch.Policy != nftables.ChainPolicyAccept {
			return false, nil
		}
		delete(left, ch.Name)
	}
	sets, err := c.GetSets(table)
	if err != nil {
		return false, err
	}
	return len(left) == 0 && len(sets) == len(t.Sets), nil
}

func absent(err error) bool { return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOENT) }

// verdictChain reads the chain out of a verdict as the kernel dumps it: nested NFTA_VERDICT_CODE and NFTA_VERDICT_CHAIN.
func verdictChain(b []byte) string {
	const verdictChainAttr = 2 // linux/netfilter/nf_tables.h
	for len(b) >= 4 {
		n, typ := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])&0x3fff
		if n < 4 || n > len(b) {
			return ""
		}
		if typ == verdictChainAttr {
			return string(trimNUL(b[4:n]))
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return ""
}

func trimNUL(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

func (s Set) build(table *nftables.Table) *nftables.Set {
	out := &nftables.Set{Table: table, Name: s.Name, KeyType: s.Key, Concatenation: s.Concat, IsMap: s.Map}
	if s.Map {
		out.DataType = s.Data
		if s.Verdict {
			out.DataType = nftables.TypeVerdict
		}
	}
	return out
}

func (e Element) build(s Set) nftables.SetElement {
	out := nftables.SetElement{Key: []byte(e.Key)}
	switch {
	case s.Verdict:
		out.VerdictData = &expr.Verdict{Kind: expr.VerdictGoto, Chain: e.Chain}
	case s.Map:
		out.Val = []byte(e.Data)
	}
	return out
}

// replace makes the whole table anew, in one transaction where the socket takes it.
func replace(c *nftables.Conn, large bool, t Table, digest string) (int, error) {
	table := &nftables.Table{Family: t.Family, Name: t.Name}
	c.AddTable(table)
	c.DelTable(table)
	c.AddTable(table)
	changes := 1
	chains := map[string]*nftables.Chain{}
	for _, ch := range t.Chains {
		chains[ch.Name] = c.AddChain(&nftables.Chain{Name: ch.Name, Table: table, Type: ch.Type, Hooknum: ch.Hook, Priority: ch.Priority})
	}
	sets := map[string]*nftables.Set{}
	for i, s := range t.Sets {
		set := s.build(table)
		set.ID = uint32(i + 1)
		sets[s.Name] = set
		if err := c.AddSet(set, nil); err != nil {
			return 0, err
		}
	}
	for _, ch := range t.Chains {
		for i, r := range ch.Rules {
			c.AddRule(&nftables.Rule{
				Table: table, Chain: chains[ch.Name], Exprs: r,
				UserData: userdata.AppendString(nil, userdata.TypeComment, mark(digest, ch.Name, i)),
			})
		}
	}
	for _, s := range t.Sets {
		n, err := change(c, large, sets[s.Name], s, s.Elements, c.SetAddElements)
		if err != nil {
			return 0, err
		}
		changes += n
	}
	return changes, c.Flush()
}

// update adds and removes elements: what is new goes in and what is old goes out in one transaction. A key whose data changes goes
// out and in again within it.
func update(p *plan.Plan, c *nftables.Conn, large bool, t Table, have observed) (int, error) {
	table := &nftables.Table{Family: t.Family, Name: t.Name}
	changes := 0
	for _, s := range t.Sets {
		set, old := s.build(table), have[s.Name]
		var add, del []Element
		for _, e := range s.Elements {
			if !old[e] {
				add = append(add, e)
			}
			delete(old, e)
		}
		for e := range old {
			del = append(del, e)
		}
		for _, e := range del {
			p.Remove("element %s %s { %x }", t, s.Name, e.Key)
		}
		for _, e := range add {
			p.Add("element %s %s { %x }", t, s.Name, e.Key)
		}
		if p.IsDry() {
			continue
		}
		for _, step := range []struct {
			list []Element
			do   func(*nftables.Set, []nftables.SetElement) error
		}{{del, c.SetDeleteElements}, {add, c.SetAddElements}} {
			n, err := change(c, large, set, s, step.list, step.do)
			if err != nil {
				return changes, err
			}
			changes += n
		}
	}
	if changes == 0 {
		return 0, nil
	}
	return changes, c.Flush()
}

func change(c *nftables.Conn, large bool, set *nftables.Set, s Set, list []Element, do func(*nftables.Set, []nftables.SetElement) error) (int, error) {
	for start := 0; start < len(list); start += chunk {
		part := list[start:min(start+chunk, len(list))]
		elements := make([]nftables.SetElement, len(part))
		for i, e := range part {
			elements[i] = e.build(s)
		}
		if err := do(set, elements); err != nil {
			return 0, err
		}
		if !large && start+chunk < len(list) {
			if err := c.Flush(); err != nil {
				return 0, err
			}
		}
	}
	return len(list), nil
}
