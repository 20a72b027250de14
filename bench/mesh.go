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

const meshRuns = 5

// publishedPorts measures new connections and throughput by a published port against the same rules made by hand, HAProxy and a direct
// connection, in turn, for a task on the node that is asked and for one on another.
func publishedPorts(ctx context.Context, _ *lab, out io.Writer) error {
	proxy, err := findProxy(ctx)
	if err != nil {
		return err
	}
	var r map[string][]meshRun
	if err := alone(ctx, &r, "publish", proxy, strconv.Itoa(meshRuns)); err != nil {
		return err
	}
	for i, where := range meshWhere {
		fmt.Fprintf(out, "task on the %s:\n", where)
		var rows []row
		ours := meshSamples(r["swarmnet"], i)
		for _, way := range meshWays {
			theirs := meshSamples(r[way], i)
			rows = append(rows, row{way + ", new connections", "1/s", theirs[0]}, row{way + ", CPU", "us each", theirs[1]},
				row{way + ", throughput", "Gbit/s", theirs[2]}, row{way + ", CPU", "s/GiB", theirs[3]})
			if way == "swarmnet" {
				continue
			}
			rows = append(rows, row{"swarmnet to " + way + ", new connections", "x", ratios(ours[0], theirs[0])}, row{"swarmnet to " + way + ", CPU", "x", ratios(ours[1], theirs[1])},
				row{"swarmnet to " + way + ", throughput", "x", ratios(ours[2], theirs[2])}, row{"swarmnet to " + way + ", CPU of throughput", "x", ratios(ours[3], theirs[3])})
		}
		table(out, rows...)
		fmt.Fprintln(out)
	}
	return nil
}

var (
	meshWays  = []string{"swarmnet", "by hand", "HAProxy", "direct"}
	meshWhere = []string{"same node", "other node"}
)

// meshRun is what one run took, by meshWhere.
type meshRun [2]struct{ PerSecond, CPUEach, Gbit, CPUPerGiB float64 }

func meshSamples(runs []meshRun, i int) (out [4]sample) {
	for _, r := range runs {
		for k, v := range []float64{r[i].PerSecond, r[i].CPUEach * 1e6, r[i].Gbit, r[i].CPUPerGiB} {
			out[k] = append(out[k], v)
		}
	}
	return out
}

// way is how a client comes to a task: what it asks, and takes from, by meshWhere, and who takes part but this process.
type way struct {
	ask, bulk [2]netip.AddrPort
	others    []int
}

// meshSlices is how many parts a run is taken in. One way's part follows the other's at once, so that what drifts with the machine, and all does within
// a second here, is in both.
const meshSlices = 8

// runWays takes the ways in turn, slice by slice and in another order each time.
func runWays(client string, names []string, ways map[string]way, runs int) (map[string][]meshRun, error) {
	out := map[string][]meshRun{}
	for run := range runs + 1 {
		took := map[string]*meshCost{}
		for k := range meshSlices * len(names) {
			name := names[(k+k/len(names))%len(names)]
			if took[name] == nil {
				took[name] = &meshCost{}
			}
			if err := ways[name].take(client, took[name]); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		for name, c := range took {
			if run > 0 { // the first one is to warm up
				out[name] = append(out[name], c.run())
			}
		}
	}
	return out, nil
}

// meshCost is what a run's connections and its octets cost so far, by meshWhere.
type meshCost [2]struct{ ask, bulk cost }

// take adds a slice to c.
func (w way) take(client string, c *meshCost) error {
	for i := range c {
		ask, err := measure(func() error { return connections(client, w.ask[i], meshConnections/meshSlices) }, w.others...)
		if err != nil {
			return err
		}
		bulk, err := measure(func() error { return bulk(client, w.bulk[i], meshBytes/meshSlices) }, w.others...)
		if err != nil {
			return err
		}
		c[i].ask, c[i].bulk = c[i].ask.plus(ask), c[i].bulk.plus(bulk)
	}
	return nil
}

// takeAll takes a run's slices one after the other.
func (w way) takeAll(client string) (meshRun, error) {
	var c meshCost
	for range meshSlices {
		if err := w.take(client, &c); err != nil {
			return meshRun{}, err
		}
	}
	return c.run(), nil
}

func (c *meshCost) run() (r meshRun) {
	const count, octets = float64(meshConnections), float64(meshBytes)
	for i, c := range c {
		r[i].PerSecond, r[i].CPUEach = count/c.ask.wall, c.ask.cpu/count
		r[i].Gbit, r[i].CPUPerGiB = octets*8/1e9/c.bulk.wall, c.bulk.cpu*(1<<30)/octets
	}
	return r
}

// publish runs PROXY and the rest in namespaces of its own: three pairs of hosts and a client on one switch.
func publish(ctx context.Context, args []string, out io.Writer) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	runs, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	s, err := newStage()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close(context.Background())) }()
	under := func(i uint32) netip.Addr { return nth(netip.PrefixFrom(hostAddr, 24), i) }
	for name, i := range map[string]uint32{"client": 100, "s1": 1, "s2": 2, "h1": 11, "h2": 12, "d1": 21, "d2": 22} {
		if err := s.host(name, under(i)); err != nil {
			return err
		}
	}
	m, err := newMeshPair(s, [2]string{"s1", "s2"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close(context.Background())) }()
	if err := m.program(ctx, 2); err != nil {
		return err
	}
	h := hand{s}
	if err := errors.Join(h.build("h1", 1, under(11), under(12)), h.build("h2", 2, under(12), under(11))); err != nil {
		return err
	}
	for _, ns := range []string{m.box(0), m.box(1), s.path(h.taskNS(1)), s.path(h.taskNS(2)), s.path("d1"), s.path("d2")} {
		if err := serve(ctx, ns); err != nil {
			return err
		}
	}
	at := netip.AddrPortFrom
	// HAProxy leads to the tasks that the rules made by hand lead to, by the same way, from the node's own namespace.
	pid, err := runProxy(ctx, args[0], s.dir, s.path("h1"), map[int]netip.AddrPort{
		8201: at(h.task(1), askPort), 8202: at(h.task(2), askPort), 8301: at(h.task(1), bulkPort), 8302: at(h.task(2), bulkPort),
	})
	if err != nil {
		return err
	}
	ways := map[string]way{
		"by hand": {ask: [2]netip.AddrPort{at(under(11), 8001), at(under(11), 8002)}, bulk: [2]netip.AddrPort{at(under(11), 8101), at(under(11), 8102)}},
		"HAProxy": {ask: [2]netip.AddrPort{at(under(11), 8201), at(under(11), 8202)}, bulk: [2]netip.AddrPort{at(under(11), 8301), at(under(11), 8302)}, others: []int{pid}},
		"direct":  {ask: [2]netip.AddrPort{at(under(21), askPort), at(under(22), askPort)}, bulk: [2]netip.AddrPort{at(under(21), bulkPort), at(under(22), bulkPort)}},
	}
	ways["swarmnet"] = m.way(under(1))
	r, err := runWays(s.path("client"), meshWays, ways, runs)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}
