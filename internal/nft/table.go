package nft

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Table is one table of ours.
type Table struct {
	Family nftables.TableFamily
	Name   string
	Sets   []Set // those that rules name
	Chains []Chain
}

// String names the table as nft(8) does.
func (t Table) String() string {
	family := map[nftables.TableFamily]string{nftables.TableFamilyINet: "inet", nftables.TableFamilyBridge: "bridge", nftables.TableFamilyIPv4: "ip"}[t.Family]
	return "table " + family + " " + t.Name
}

// Chain is a chain with its rules. Without a hook it is one that verdicts lead to.
type Chain struct {
	Name     string
	Hook     *nftables.ChainHook
	Priority *nftables.ChainPriority
	Type     nftables.ChainType
	Rules    []Rule
}

// Rule is a rule's expressions, in their order.
type Rule []expr.Any

// Set is a set, or with Data or Verdict a map, and what is in it.
type Set struct {
	Name    string
	Key     nftables.SetDatatype
	Concat  bool                 // Key is a concatenation
	Data    nftables.SetDatatype // of a map
	Map     bool
	Verdict bool // of a map: Elements' Chain is where it leads
	// Elements, each Key once.
	Elements []Element
}

// Element is one entry. Key and Data are padded to four octets a field, as the kernel has them.
type Element struct {
	Key   string // octets
	Data  string // octets; of a map
	Chain string // of a verdict map: goto it
}

// digest names the table's structure: chains, rules and the types of its sets.
func (t Table) digest() (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s\n", t.Family, t.Name)
	for _, s := range t.Sets {
		fmt.Fprintf(h, "set %s %s %v %s %v %v\n", s.Name, s.Key.Name, s.Concat, s.Data.Name, s.Map, s.Verdict)
	}
	for _, c := range t.Chains {
		fmt.Fprintf(h, "chain %s %s", c.Name, c.Type)
		if c.Hook != nil {
			fmt.Fprintf(h, " %d %d", *c.Hook, *c.Priority)
		}
		for _, r := range c.Rules {
			for _, e := range r {
				b, err := json.Marshal(e)
				if err != nil {
					return "", fmt.Errorf("table %s: %w", t.Name, err)
				}
				fmt.Fprintf(h, " %T%s", e, b)
			}
			fmt.Fprintln(h)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:12]), nil
}

// mark is a rule's comment: it says which structure the rule belongs to and where it stands.
func mark(digest, chain string, i int) string { return fmt.Sprintf("%s %s %d", digest, chain, i) }
