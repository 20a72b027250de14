package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// sample is one figure's values over the runs.
type sample []float64

func (s sample) median() float64 {
	t := slices.Sorted(slices.Values(s))
	n := len(t)
	switch {
	case n == 0:
		return 0
	case n%2 == 1:
		return t[n/2]
	}
	return (t[n/2-1] + t[n/2]) / 2
}

// ratios divides pair by pair: what drifts with the machine falls out.
func ratios(a, b sample) sample {
	out := make(sample, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}

type row struct {
	name string
	unit string
	s    sample
}

func table(out io.Writer, rows ...row) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "figure\tmin\tmedian\tmax\tunit")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%.3f\t%.3f\t%.3f\t%s\n", r.name, slices.Min(r.s), r.s.median(), slices.Max(r.s), r.unit)
	}
	w.Flush()
}
