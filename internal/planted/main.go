// Command planted proves that the tests catch bugs: it plants one at a time, outside the tree, and runs the test that must
// fail then. Usage: go run ./internal/planted [-v] [NAME…]. A NAME is a bug's or the beginning of one. It exits with 1
// unless every bug is caught.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "planted:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("planted", flag.ContinueOnError)
	verbose := flags.Bool("v", false, "print what the tests say, and each bug's sentence")
	parallel := flags.Int("p", max(1, runtime.NumCPU()/2), "how many bugs at a time")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen := choose(bugs(), flags.Args())
	if len(chosen) == 0 {
		return fmt.Errorf("no bug is called %s", strings.Join(flags.Args(), " or "))
	}
	l, err := newLab(ctx)
	if err != nil {
		return err
	}
	defer l.close()

	begin := time.Now()
	verdicts := make([]verdict, len(chosen))
	done := make([]chan struct{}, len(chosen))
	places := make(chan struct{}, *parallel)
	var g sync.WaitGroup
	defer g.Wait()
	for i, b := range chosen {
		done[i] = make(chan struct{})
		g.Go(func() {
			defer close(done[i])
			places <- struct{}{}
			defer func() { <-places }()
			verdicts[i] = l.try(ctx, b)
		})
	}
	caught := 0
	for i, b := range chosen { // in the order of the list
		<-done[i]
		if ctx.Err() != nil {
			return ctx.Err()
		}
		v := verdicts[i]
		if v.caught {
			caught++
		}
		fmt.Fprintf(out, "%-10s %-32s %s\n", v.word, b.Name, b.Test)
		if *verbose || !v.caught {
			fmt.Fprintf(out, "           %s\n", b.Why)
			if v.output != "" {
				fmt.Fprintln(out, indent(v.output))
			}
		}
	}
	fmt.Fprintf(out, "%d of %d planted bugs are caught (%s)\n", caught, len(chosen), time.Since(begin).Round(time.Second))
	if caught < len(chosen) {
		return fmt.Errorf("%d bugs are not caught: write a test that fails with them, or bring the list up to date", len(chosen)-caught)
	}
	return nil
}

func choose(all []Bug, names []string) (out []Bug) {
	for _, b := range all {
		pick := len(names) == 0
		for _, n := range names {
			pick = pick || strings.HasPrefix(b.Name, n)
		}
		if pick {
			out = append(out, b)
		}
	}
	return out
}

func indent(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if n := len(lines); n > 15 {
		lines = append(append(lines[:10:10], fmt.Sprintf("… %d lines", n-15)), lines[n-5:]...)
	}
	return "           | " + strings.Join(lines, "\n           | ")
}
