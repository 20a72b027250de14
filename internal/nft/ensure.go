package nft

import (
	"context"
	"errors"
	"fmt"

	"github.com/swarmnet/swarmnet/internal/plan"
)

// Memo is what a pass remembers for the next, so that it need not dump what nobody changed: that the tables were as wanted in an epoch of the
// namespace's clock. The zero value remembers nothing; a memo that no longer fits is of no harm.
type Memo struct {
	clocks        *Clocks // that gave the epoch
	cookie, epoch uint64
	digest        [32]byte // of the tables; zero: not worked out
}

// memo is that the tables are as wanted at a generation.
func (c *Conn) memo(gen uint32, digest [32]byte) Memo {
	return Memo{c.clocks, c.cookie, c.clocks.seen(c.cookie, gen), digest}
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
		if c.cookie != 0 && *memo == c.memo(gen, sum) {
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
		now, err = c.commit(gen, list)
		switch {
		case errors.Is(err, errMoved):
			continue
		case err != nil:
			return 0, fmt.Errorf("cannot change table %s: %w", tables[0].Name, err)
		}
		c.clocks.stepped(c.cookie, gen, now)
		*memo = c.memo(now, sum)
		tell(p, words)
		return changes, nil
	}
	return 0, fmt.Errorf("cannot change table %s: %w", tables[0].Name, err)
}

// Change makes of tables that memo knows to be in force others, without looking at them: was and is may leave out, both alike, what stays as it is. ok
// is false, and nothing is done, when somebody else has changed anything in the namespace: then Ensure must look.
func (c *Conn) Change(ctx context.Context, memo *Memo, was, is []Table) (changes int, ok bool, err error) {
	gen, err := c.generation()
	if err != nil {
		return 0, false, err
	}
	if c.cookie == 0 || *memo != c.memo(gen, memo.digest) {
		return 0, false, nil
	}
	var list []unit
	var words []change
	for i := range is {
		steps, n := Diff(&was[i], is[i])
		if n == 0 {
			continue
		}
		changes += n
		words = append(words, describe(is[i], steps)...)
		for _, u := range units(is[i], steps) {
			if len(u) > 0 {
				list = append(list, u)
			}
		}
	}
	if p := plan.From(ctx); p.IsDry() || changes == 0 {
		tell(p, words)
		return changes, true, nil
	}
	now, err := c.commit(gen, list)
	if err != nil { // whatever it is, what there is now must be looked at
		*memo = Memo{}
		return 0, false, nil
	}
	c.clocks.stepped(c.cookie, gen, now)
	*memo = c.memo(now, [32]byte{})
	tell(plan.From(ctx), words)
	return changes, true, nil
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
			_, err = c.commit(gen, u)
		}
		if err != nil {
			return fmt.Errorf("cannot remove table %s %s: %w", family, name, err)
		}
	}
	return nil
}
