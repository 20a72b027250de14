package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
)

// packetPath measures the same published ports with two services in force and with as many as programming has, in turn.
func packetPath(ctx context.Context, _ *lab, out io.Writer) error {
	var r map[string][]meshRun
	if err := alone(ctx, &r, "carry", strconv.Itoa(programServices), strconv.Itoa(programRuns)); err != nil {
		return err
	}
	var rows []row
	for i, where := range meshWhere {
		few, many := meshSamples(r["few"], i), meshSamples(r["many"], i)
		rows = append(rows, row{"task on the " + where + ", with many to with few: CPU of a connection", "x", ratios(many[1], few[1])},
			row{"task on the " + where + ", with many to with few: CPU of throughput", "x", ratios(many[3], few[3])})
	}
	table(out, rows...)
	return nil
}

// takePath programs two hosts with SERVICES and with two of them, RUNS times, and measures each time.
func takePath(ctx context.Context, args []string, out io.Writer) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	services, err1 := strconv.Atoi(args[0])
	runs, err2 := strconv.Atoi(args[1])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	s, err := newStage()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close(context.Background())) }()
	under := func(i uint32) netip.Addr { return nth(netip.PrefixFrom(hostAddr, 24), i) }
	if err := errors.Join(s.host("client", under(100)), s.host("s1", under(1)), s.host("s2", under(2))); err != nil {
		return err
	}
	m, err := newMeshPair(s, [2]string{"s1", "s2"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close(context.Background())) }()
	sizes, r := map[string]int{"few": 2, "many": services}, map[string][]meshRun{}
	for run := range runs + 1 {
		for _, name := range [][]string{{"few", "many"}, {"many", "few"}}[run%2] {
			if err := m.program(ctx, sizes[name]); err != nil {
				return err
			}
			if run == 0 && len(r) == 0 {
				if err := errors.Join(serve(ctx, m.box(0)), serve(ctx, m.box(1))); err != nil {
					return err
				}
			}
			one, err := m.way(under(1)).takeAll(s.path("client"))
			if err != nil {
				return fmt.Errorf("with %s services: %w", name, err)
			}
			r[name] = append(r[name], one)
		}
	}
	for name := range r { // the first one is to warm up
		r[name] = r[name][1:]
	}
	return json.NewEncoder(out).Encode(r)
}
