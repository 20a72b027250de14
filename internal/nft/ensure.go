package nft

import (
	"context"
	"errors"
	"fmt"

	"github.com/swarmnet/swarmnet/internal/plan"
)

// Memo is what a pass remembers for the next, so that it need not dump what nobody changed. The zero value remembers nothing; a memo
// that no longer fits is of no harm.
type Memo struct {
	cookie uint64
	gen    uint32
	digest [32]byte
}

// attempts bounds how often a transaction is tried while others change tables at the same time.
const attempts = 8

// Ensure makes tables what they are wanted to be, all in one transaction if it fits the socket's buffer, and returns how many things it
// changed. The context's plan is told of them; when it is dry that is all. Objects in our tables that are not wanted are removed; other tables are not looked at.
func (c *Conn) Ensure(ctx context.Context, memo *Memo, tables ...Table) (changes int, err error) {
	sum, p := digest(tables), plan.From(ctx)
	for range attempts {
		var gen uint32
		if gen, err = c.generation(); err != nil {
			return 0, err
		}
		if c.cookie != 0 && *memo == (Memo{c.cookie, gen, sum}) {
			return 0, nil
		}
		var list []unit
		var words []change
		list, words, changes, err = c.plan(tables)
		if err != nil {
			return 0, err
		}
		var now uint32
		if now, err = c.generation(); err != nil {
			return 0, err
		}
		if now != gen { // it was no one consistent reading
			err = errMoved
			continue
		}
		if p.IsDry() {
			tell(p, words)
			return changes, nil
		}
		err = c.commit(gen, list)
		switch {
		case errors.Is(err, errMoved):
			continue
		case err != nil:
			return 0, fmt.Errorf("cannot change table %s: %w", tables[0].Name, err)
		case changes == 0:
			*memo = Memo{c.cookie, gen, sum}
		default:
			*memo = Memo{c.cookie, gen + 1, sum} // if it took more transactions than one, the next pass looks again
		}
		tell(p, words)
		return changes, nil
	}
	return 0, fmt.Errorf("cannot change table %s: %w", tables[0].Name, err)
}

func (c *Conn) plan(tables []Table) (list []unit, words []change, changes int, err error) {
	for _, t := range tables {
		have, err := c.Observe(t.Family, t.Name)
		if err != nil {
			return nil, nil, 0, err
		}
		steps, n := Diff(have, t)
		words = append(words, describe(t, steps)...)
		changes += n
		for _, u := range units(t, steps) {
			if len(u) > 0 {
				list = append(list, u)
			}
		}
	}
	return list, words, changes, nil
}

// Remove deletes the tables of these names that are there.
func (c *Conn) Remove(family Family, names ...string) error {
	for _, name := range names {
		// NEWTABLE first makes the deletion of an absent one succeed.
		t := Table{Family: family, Name: name}
		u := units(t, []step{{kind: addTable}, {kind: delTable}})
		err := errMoved
		for try := 0; try < attempts && errors.Is(err, errMoved); try++ {
			gen, gerr := c.generation()
			if gerr != nil {
				return gerr
			}
			err = c.commit(gen, u)
		}
		if err != nil {
			return fmt.Errorf("cannot remove table %s %s: %w", family, name, err)
		}
	}
	return nil
}
