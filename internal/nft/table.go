package nft

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Family is the protocol family of a table (linux/netfilter.h).
type Family uint8

const (
	INet   Family = 1
	IPv4   Family = 2
	Bridge Family = 7
)

func (f Family) String() string {
	return map[Family]string{INet: "inet", IPv4: "ip", Bridge: "bridge"}[f]
}

// Table is a whole table.
type Table struct {
	Family Family
	Name   string
	Sets   []Set
	Chains []Chain
	// Dormant says that the kernel leaves all its chains out, as found; ours never are.
	Dormant bool
}

// Set is a set or a map. In a verdict map the data of an element is the name of the chain to jump to.
type Set struct {
	Name    string
	Key     Type
	Data    Type // of a map; zero: a set
	Verdict bool // a verdict map
	// HostOrder says that data is a number in the host's byte order; only nft(8)'s listing needs to know.
	HostOrder bool
	// Elems holds data by key, both as the kernel's registers do: each field padded to a multiple of 4 octets.
	Elems map[string]string
}

// Type is the type of a key or of data: its length in octets is what the kernel checks, Magic is how nft(8) shows it.
type Type struct {
	Magic uint32
	Len   uint32
}

// Types that our keys and data are made of; the numbers are nft(8)'s own (nftables' include/datatype.h).
var (
	TypeZone  = Type{Magic: 4, Len: 2}
	TypeIPv4  = Type{Magic: 7, Len: 4}
	TypeIPv6  = Type{Magic: 8, Len: 16}
	TypeEther = Type{Magic: 9, Len: 6}
	TypeProto = Type{Magic: 12, Len: 1}
	TypePort  = Type{Magic: 13, Len: 2}
	TypeMark  = Type{Magic: 19, Len: 4}
	TypeIface = Type{Magic: 41, Len: 16}
)

// Concat is the type of a concatenation: nft(8) has six bits for each field, and each takes whole registers of 4 octets.
func Concat(types ...Type) Type {
	var out Type
	for _, t := range types {
		out.Magic = out.Magic<<6 | t.Magic
		out.Len += (t.Len + 3) &^ 3
	}
	return out
}

// Chain is a chain; without Base it is only gone to.
type Chain struct {
	Name  string
	Base  *Base
	Rules []Rule
}

// Base hooks a chain into the packets' path. The policy of ours is to accept.
type Base struct {
	Type     string // "filter", "nat"
	Hook     uint32 // NF_INET_* or NF_BR_*
	Priority int32
	Drops    bool // the policy, as found
}

// Rule is a rule. ID names its content; one that was observed has nothing else.
type Rule struct {
	ID    string
	Exprs [][]byte // marshalled expressions
}

// NewRule returns the rule that consists of the expressions.
func NewRule(exprs ...[]byte) Rule {
	h := sha256.New()
	for _, e := range exprs {
		fmt.Fprintf(h, "%d ", len(e))
		h.Write(e)
	}
	return Rule{ID: hex.EncodeToString(h.Sum(nil)[:10]), Exprs: exprs}
}

// digest is equal for equal tables only.
func digest(tables []Table) [32]byte {
	h := sha256.New()
	for _, t := range tables {
		fmt.Fprintf(h, "table %d %q\n", t.Family, t.Name)
		for _, c := range t.Chains {
			fmt.Fprintf(h, "chain %q", c.Name)
			if c.Base != nil {
				fmt.Fprintf(h, " %v", *c.Base)
			}
			for _, r := range c.Rules {
				h.Write([]byte(" " + r.ID))
			}
		}
		for _, s := range t.Sets {
			fmt.Fprintf(h, "\nset %q %v %v %v", s.Name, s.Key, s.Data, s.Verdict)
			for _, k := range slices.Sorted(maps.Keys(s.Elems)) {
				fmt.Fprintf(h, "%d:%s%d:%s", len(k), k, len(s.Elems[k]), s.Elems[k])
			}
		}
	}
	return [32]byte(h.Sum(nil))
}

// String is the table as text, for people: chains with the digests of their rules, sets with their elements in hex.
func (t Table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table %s %s\n", t.Family, t.Name)
	for _, s := range t.Sets {
		for _, k := range slices.Sorted(maps.Keys(s.Elems)) {
			data := fmt.Sprintf("%x", s.Elems[k])
			if s.Verdict {
				data = "goto " + s.Elems[k]
			}
			fmt.Fprintf(&b, "element %s { %x : %s }\n", s.Name, k, data)
		}
	}
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			fmt.Fprintf(&b, "rule %s %s\n", c.Name, r.ID)
		}
	}
	return b.String()
}
