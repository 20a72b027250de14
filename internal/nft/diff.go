package nft

import (
	"maps"
	"slices"
)

// step is one change of a table, in terms of the kernel's messages.
type step struct {
	kind  stepKind
	chain Chain
	set   Set
	// drop and add are elements by key; a key in both changes its data and must do so within one transaction.
	drop, add map[string]string
}

type stepKind uint8

const (
	addTable stepKind = iota
	delTable
	addSet
	addChain
	fillChain // flush the chain, then add its rules
	setElems
	delChain
	delSet
)

// Diff returns the steps from the observed table (nil: there is none) to the wanted one, and how many things they change. What is
// needed comes before what needs it, additions before deletions.
func Diff(have *Table, want Table) (steps []step, changes int) {
	if have != nil && !compatible(*have, want) {
		steps, have = append(steps, step{kind: delTable}), nil
		changes++
	}
	if have == nil {
		steps = append(steps, step{kind: addTable})
		changes++
		have = &Table{Family: want.Family, Name: want.Name}
	}
	oldSets, oldChains := map[string]Set{}, map[string]Chain{}
	for _, s := range have.Sets {
		oldSets[s.Name] = s
	}
	for _, c := range have.Chains {
		oldChains[c.Name] = c
	}
	for _, s := range want.Sets {
		if _, ok := oldSets[s.Name]; !ok {
			steps = append(steps, step{kind: addSet, set: s})
			changes++
		}
	}
	for _, c := range want.Chains {
		if _, ok := oldChains[c.Name]; !ok {
			steps = append(steps, step{kind: addChain, chain: c})
			changes++
		}
	}
	for _, c := range want.Chains {
		if !slices.EqualFunc(oldChains[c.Name].Rules, c.Rules, func(a, b Rule) bool { return a.ID == b.ID }) {
			steps = append(steps, step{kind: fillChain, chain: c})
			changes++
		}
	}
	var later []step
	for _, verdict := range []bool{false, true} { // data first: verdicts lead to rules that look it up
		for _, s := range want.Sets {
			if s.Verdict != verdict {
				continue
			}
			now, after := elemSteps(oldSets[s.Name], s)
			for _, st := range slices.Concat(now, after) {
				changes += len(st.add)
				for k := range st.drop {
					if _, both := st.add[k]; !both {
						changes++
					}
				}
			}
			steps, later = append(steps, now...), append(after, later...)
		}
	}
	steps = append(steps, later...)
	for _, name := range slices.Sorted(maps.Keys(oldChains)) {
		if !slices.ContainsFunc(want.Chains, func(c Chain) bool { return c.Name == name }) {
			steps = append(steps, step{kind: delChain, chain: oldChains[name]})
			changes++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(oldSets)) {
		if !slices.ContainsFunc(want.Sets, func(s Set) bool { return s.Name == name }) {
			steps = append(steps, step{kind: delSet, set: oldSets[name]})
			changes++
		}
	}
	return steps, changes
}

// chunk is how many elements travel in one message: the list is an attribute, 64 KiB at most.
const chunk = 500

// elemSteps returns what adds and changes elements, and what deletes those that are too many, in chunks.
func elemSteps(have, want Set) (now, later []step) {
	cur := step{kind: setElems, set: want, add: map[string]string{}, drop: map[string]string{}}
	for _, k := range slices.Sorted(maps.Keys(want.Elems)) {
		old, ok := have.Elems[k]
		if ok && old == want.Elems[k] {
			continue
		}
		if ok {
			cur.drop[k] = old
		}
		cur.add[k] = want.Elems[k]
		if len(cur.add) == chunk {
			now = append(now, cur)
			cur = step{kind: setElems, set: want, add: map[string]string{}, drop: map[string]string{}}
		}
	}
	if len(cur.add) > 0 {
		now = append(now, cur)
	}
	cur = step{kind: setElems, set: want, drop: map[string]string{}}
	for _, k := range slices.Sorted(maps.Keys(have.Elems)) {
		if _, ok := want.Elems[k]; ok {
			continue
		}
		cur.drop[k] = have.Elems[k]
		if len(cur.drop) == chunk {
			later = append(later, cur)
			cur = step{kind: setElems, set: want, drop: map[string]string{}}
		}
	}
	if len(cur.drop) > 0 {
		later = append(later, cur)
	}
	return now, later
}

// compatible reports whether have can be changed into want piece by piece: types of sets and hooks of chains cannot change.
func compatible(have, want Table) bool {
	if have.Dormant != want.Dormant {
		return false
	}
	for _, h := range have.Sets {
		for _, w := range want.Sets {
			if h.Name == w.Name && (h.Key.Len != w.Key.Len || h.Data.Len != w.Data.Len || h.Verdict != w.Verdict) {
				return false
			}
		}
	}
	for _, h := range have.Chains {
		for _, w := range want.Chains {
			if h.Name == w.Name && (h.Base == nil) != (w.Base == nil) || h.Name == w.Name && h.Base != nil && *h.Base != *w.Base {
				return false
			}
		}
	}
	return true
}
