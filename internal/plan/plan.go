// Package plan tells what a pass over the kernel changes, or with Dry would change, in the words of the tools that an operator knows. It travels
// with the context, so that reconciling and showing the difference are one path through the code.
package plan

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// Plan collects changes. A nil Plan takes and keeps nothing. Its methods may be called from any goroutine.
type Plan struct {
	dry bool

	mu    sync.Mutex
	lines []string
}

type key struct{}

// Follow returns a context whose passes tell the plan what they change.
func Follow(ctx context.Context) (context.Context, *Plan) { return with(ctx, &Plan{}) }

// Dry returns a context whose passes change nothing and tell the plan what they would.
func Dry(ctx context.Context) (context.Context, *Plan) { return with(ctx, &Plan{dry: true}) }

func with(ctx context.Context, p *Plan) (context.Context, *Plan) {
	return context.WithValue(ctx, key{}, p), p
}

// From returns the plan of a context, or nil.
func From(ctx context.Context) *Plan {
	p, _ := ctx.Value(key{}).(*Plan)
	return p
}

// IsDry reports whether nothing may be changed.
func (p *Plan) IsDry() bool { return p != nil && p.dry }

// Add notes that something that is wanted and missing is made or changed.
func (p *Plan) Add(format string, args ...any) { p.note("+ ", format, args) }

// Remove notes that something that is there and not wanted goes.
func (p *Plan) Remove(format string, args ...any) { p.note("- ", format, args) }

func (p *Plan) note(sign, format string, args []any) {
	if p == nil {
		return
	}
	line := sign + fmt.Sprintf(format, args...)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, line)
}

// Lines are the changes in their order, each once: "+ route …" for what was missing, "- route …" for what was too much.
func (p *Plan) Lines() []string {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := make(map[string]bool, len(p.lines))
	return slices.DeleteFunc(slices.Clone(p.lines), func(l string) bool {
		was := seen[l]
		seen[l] = true
		return was
	})
}
