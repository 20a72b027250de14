package cli

import (
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// atOnce is how many objects one command deals with at the same time, unless the app says otherwise.
const atOnce = 16

// each runs do for every reference: all are tried, done ones are printed, the errors joined.
func (a *app) each(refs []string, do func(ref string) error) error {
	return a.inOrder(refs, 1, func(ref string) (string, error) { return ref, do(ref) })
}

// eachAtOnce is each for what does not depend on one another: many are done at once, and told in the order of the references.
func (a *app) eachAtOnce(refs []string, do func(ref string) error) error {
	return a.inOrder(refs, a.atOnce, func(ref string) (string, error) { return ref, do(ref) })
}

// inOrder runs do for every reference, some at a time, and prints what it returns in their order as soon as that can be told.
func (a *app) inOrder(refs []string, limit int, do func(ref string) (string, error)) error {
	type outcome struct {
		text string
		err  error
	}
	outcomes := make([]chan outcome, len(refs))
	for i := range refs {
		outcomes[i] = make(chan outcome, 1)
	}
	var g errgroup.Group
	g.SetLimit(limit + 1) // and the one that starts them
	g.Go(func() error {
		for i, ref := range refs {
			g.Go(func() error {
				text, err := do(ref)
				outcomes[i] <- outcome{text, err}
				return nil
			})
		}
		return nil
	})
	var errs []error
	for _, ch := range outcomes {
		o := <-ch
		if o.err != nil {
			errs = append(errs, errors.New(explain(o.err)))
			continue
		}
		fmt.Fprintln(a.stdout, o.text)
	}
	return errors.Join(append(errs, g.Wait())...)
}
