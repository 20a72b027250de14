package nft

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/netns"
)

// draw draws a table of a few sets, maps and chains out of a small stock of names, so that two draws share some.
func draw(t *rapid.T, label string) Table {
	out := Table{Family: INet, Name: "random"}
	elems := func(data func(i int) string) map[string]string {
		m := map[string]string{}
		for range rapid.IntRange(0, 20).Draw(t, label+" elements") {
			k := rapid.IntRange(0, 30).Draw(t, label+" key")
			m[string([]byte{10, 0, 0, byte(k)})] = data(rapid.IntRange(0, 3).Draw(t, label+" data"))
		}
		return m
	}
	addr := Type{Magic: 7, Len: 4}
	plain := Set{Name: "plain", Key: addr, Elems: elems(func(int) string { return "" })}
	values := Set{Name: "values", Key: addr, Data: addr, Elems: elems(func(i int) string { return string([]byte{10, 1, 0, byte(i)}) })}
	verdicts := Set{Name: "verdicts", Key: addr, Verdict: true, Elems: elems(func(i int) string { return fmt.Sprintf("c%d", i) })}
	out.Sets = []Set{plain, values, verdicts}
	if rapid.Bool().Draw(t, label+" extra") {
		out.Sets = append(out.Sets, Set{Name: "extra", Key: Type{Magic: 13, Len: 2 + 2*uint32(rapid.IntRange(0, 1).Draw(t, label+" width"))}, Elems: map[string]string{}})
	}
	base := &Base{Type: "filter", Hook: unix.NF_INET_LOCAL_OUT, Priority: int32(rapid.IntRange(0, 1).Draw(t, label+" priority"))}
	out.Chains = append(out.Chains, Chain{Name: "output", Base: base, Rules: []Rule{R(INet, NFProto(false), Jump("verdicts", FieldDaddr(false)))}})
	for i := range 4 {
		c := Chain{Name: fmt.Sprintf("c%d", i)}
		for range rapid.IntRange(0, 2).Draw(t, label+" rules") {
			c.Rules = append(c.Rules, R(INet, NFProto(rapid.Bool().Draw(t, label+" family")), In("plain", FieldDaddr(false)), Drop()))
		}
		if !slices.Contains(slices.Collect(maps.Values(verdicts.Elems)), c.Name) && rapid.Bool().Draw(t, label+" without") {
			continue
		}
		out.Chains = append(out.Chains, c)
	}
	return out
}

// shown is what two tables that are equal for us have in common.
func shown(t Table) string {
	t.Sets, t.Chains = slices.Clone(t.Sets), slices.Clone(t.Chains)
	slices.SortFunc(t.Sets, func(a, b Set) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(t.Chains, func(a, b Chain) int { return strings.Compare(a.Name, b.Name) })
	s := t.String()
	for _, c := range t.Chains {
		s += fmt.Sprintln("chain", c.Name, c.Base != nil && c.Base.Priority != 0)
	}
	for _, set := range t.Sets {
		s += fmt.Sprintln("set", set.Name, set.Key.Len, set.Data.Len, set.Verdict)
	}
	return s
}

func TestDiffOfEqualsIsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := draw(t, "a")
		if steps, n := Diff(&a, a); n != 0 || len(steps) != 0 {
			t.Fatalf("%d changes, steps %v", n, steps)
		}
		b := draw(t, "b")
		_, n := Diff(&a, b)
		if same := shown(a) == shown(b); (n == 0) != same || same != (digest([]Table{a}) == digest([]Table{b})) {
			t.Fatalf("%d changes from\n%s\nto\n%s", n, shown(a), shown(b))
		}
	})
}

// TestKernelEnsure takes a table from anything to anything, in one transaction and in many small ones.
func TestKernelEnsure(t *testing.T) {
	kerneltest.Require(t, kerneltest.NFTables)
	path := kerneltest.NewNamespace(t).Path
	ns, err := netns.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	rapid.Check(t, func(t *rapid.T) {
		c, err := Open(ns)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if rapid.Bool().Draw(t, "small") {
			c.limit = 200
		}
		memo := Memo{}
		for i := range 3 {
			want := draw(t, fmt.Sprint(i))
			if _, err := c.Ensure(context.Background(), &memo, want); err != nil {
				t.Fatalf("to\n%s: %v", shown(want), err)
			}
			have, err := c.Observe(want.Family, want.Name)
			if err != nil || have == nil {
				t.Fatalf("observing: %v, %v", have, err)
			}
			if shown(*have) != shown(want) {
				t.Fatalf("there is\n%s\ninstead of\n%s", shown(*have), shown(want))
			}
			for range 2 { // by looking, then by the generation
				if n, err := c.Ensure(context.Background(), &memo, want); n != 0 || err != nil {
					t.Fatalf("a second pass changed %d things: %v", n, err)
				}
			}
		}
		if err := c.Remove(INet, "random"); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Ensure(context.Background(), &memo, draw(t, "last")); n == 0 || err != nil {
			t.Fatalf("the loss of the table was not noticed: %v", err)
		}
	})
}

// TestKernelChange changes tables that are known without looking at them, and notices whenever somebody else was there.
func TestKernelChange(t *testing.T) {
	kerneltest.Require(t, kerneltest.NFTables)
	ns, err := netns.Open(kerneltest.NewNamespace(t).Path)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		clocks := &Clocks{}
		c, err := OpenWith(ns, clocks)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if rapid.Bool().Draw(t, "small") {
			c.limit = 200
		}
		is, memo, otherMemo := draw(t, "first"), Memo{}, Memo{}
		if _, err := c.Ensure(ctx, &memo, is); err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			next, moved := draw(t, fmt.Sprint(i)), false
			switch rapid.IntRange(0, 3).Draw(t, "meanwhile") {
			case 0: // another table, by one who shares the clocks
				other := draw(t, "other")
				other.Name = "other"
				if _, err := c.Ensure(ctx, &otherMemo, other); err != nil {
					t.Fatal(err)
				}
			case 1: // somebody else
				d, err := Open(ns)
				if err != nil {
					t.Fatal(err)
				}
				if err := d.Remove(INet, "random"); err != nil {
					t.Fatal(err)
				}
				d.Close()
				moved = true
			}
			_, ok, err := c.Change(ctx, &memo, []Table{is}, []Table{next})
			if err != nil || ok == moved {
				t.Fatalf("changed without looking: %v (moved %v), %v", ok, moved, err)
			}
			if !ok {
				if _, err := c.Ensure(ctx, &memo, next); err != nil {
					t.Fatal(err)
				}
			}
			have, err := c.Observe(next.Family, next.Name)
			if err != nil || have == nil || shown(*have) != shown(next) {
				t.Fatalf("there is\n%v\ninstead of\n%s: %v", have, shown(next), err)
			}
			is = next
		}
		if err := c.Remove(INet, "random", "other"); err != nil {
			t.Fatal(err)
		}
	})
}

// A connection that changed something is there for the next who wants one, unless what was done with it failed.
func TestKernelKeptConnection(t *testing.T) {
	kerneltest.Require(t, kerneltest.NFTables)
	ns, err := netns.Open(kerneltest.NewNamespace(t).Path)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	var clocks Clocks
	var memo Memo
	use := func(fn func(*Conn) error) (used *Conn, err error) {
		err = clocks.With(ns, func(c *Conn) error { used = c; return fn(c) })
		return used, err
	}
	look := func(c *Conn) error { _, err := c.Observe(INet, "kept"); return err }
	change := func(c *Conn) error {
		_, err := c.Ensure(context.Background(), &memo, Table{Family: INet, Name: "kept"})
		return err
	}
	first, err1 := use(change)
	second, err2 := use(look)
	if err1 != nil || err2 != nil || first != second {
		t.Fatalf("another connection is used, %v, %v", err1, err2)
	}
	failed := fmt.Errorf("failed")
	if _, err := use(func(*Conn) error { return failed }); err != failed {
		t.Fatalf("%v instead of what the function said", err)
	}
	if third, err := use(look); err != nil || third == first {
		t.Errorf("a connection is used again that something failed with, %v", err)
	}
}
