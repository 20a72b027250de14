package nl

import (
	"context"
	"strconv"

	"github.com/swarmnet/swarmnet/internal/plan"
)

// OpenIn is Open for a pass: what the connection changes is told to the context's plan, and when that is dry nothing is changed.
func OpenIn(ctx context.Context, path string) (*Conn, error) {
	c, err := Open(path)
	if err != nil {
		return nil, err
	}
	c.plan = plan.From(ctx)
	return c, nil
}

// Plan is what the connection tells its changes to; nil: nothing.
func (c *Conn) Plan() *plan.Plan { return c.plan }

// Quietly runs fn without telling the plan what it changes: the caller has better words for it.
func (c *Conn) Quietly(fn func() error) error {
	was := c.plan
	c.plan = nil
	defer func() { c.plan = was }()
	return fn()
}

// add does what makes or changes something, del what takes something away, unless the plan is dry.
func (c *Conn) adding(act func() error, format string, args ...any) error {
	c.plan.Add(format, args...)
	if c.plan.IsDry() {
		return nil
	}
	return act()
}

func (c *Conn) removing(act func() error, format string, args ...any) error {
	c.plan.Remove(format, args...)
	if c.plan.IsDry() {
		return nil
	}
	return act()
}

// name is what an interface is called, for a plan.
func (c *Conn) name(index int) string {
	if c.plan == nil {
		return ""
	}
	if l, err := c.h.LinkByIndex(index); err == nil {
		return l.Attrs().Name
	}
	return "if" + strconv.Itoa(index)
}
