package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

const (
	programServices = 1000
	programTasks    = 10
	programRuns     = 5
	programChanges  = 20
)

// programming measures how long a node takes to bring 1,000 services of 10 tasks into force in its kernel, from nothing and a task's change at a
// time, each node in namespaces of its own.
func programming(ctx context.Context, _ *lab, out io.Writer) error {
	var whole, change [8]sample
	for range programRuns {
		var r programmed
		if err := alone(ctx, &r, "program", strconv.Itoa(programServices), strconv.Itoa(programTasks), strconv.Itoa(programChanges)); err != nil {
			return err
		}
		take(&whole, r.Whole)
		for _, c := range r.Changes {
			take(&change, c)
		}
	}
	table(out, append(partRows("from nothing", whole), partRows("one task's change", change)...)...)
	return nil
}

var partNames = [8]string{"in all", "taking in", "computing", "names", "networks", "published ports", "virtual addresses", "CPU time"}

func take(to *[8]sample, p [8]float64) {
	for i, v := range p {
		to[i] = append(to[i], v*1000)
	}
}

func partRows(what string, s [8]sample) []row {
	var out []row
	for i, name := range partNames {
		out = append(out, row{what + ": " + name, "ms", s[i]})
	}
	return out
}

func (p parts) list() [8]float64 {
	return [8]float64{p.sum(), p.intake, p.compute, p.names, p.fabric, p.mesh, p.vips, p.cpu}
}

// programmed is what a node took, in seconds, by partNames.
type programmed struct {
	Whole   [8]float64
	Changes [][8]float64
}

// programNode programs a node in the caller's namespaces with SERVICES of TASKS each, then replaces one task CHANGES times.
func programNode(ctx context.Context, args []string, out io.Writer) (err error) {
	var num [3]int
	if len(args) != len(num) {
		return fmt.Errorf("program: %d arguments instead of %d", len(args), len(num))
	}
	for i := range num {
		if num[i], err = strconv.Atoi(args[i]); err != nil {
			return err
		}
	}
	n, err := newNode()
	if err != nil {
		return err
	}
	defer n.close()
	w := newWorld(num[0], num[1])
	p, err := n.program(ctx, w)
	if err != nil {
		return err
	}
	r := programmed{Whole: p.list()}
	for i := range num[2] {
		lap := stopwatch()
		w.replace("service7", 3, 2+i%(worldNodes-1)) // copies what it changes, as the session and the gossip do
		intake := lap()
		if p, err = n.program(ctx, w); err != nil {
			return err
		}
		p.intake = intake
		r.Changes = append(r.Changes, p.list())
	}
	return json.NewEncoder(out).Encode(r)
}

// alone runs a helper of this program in namespaces of its own and decodes what it prints.
func alone(ctx context.Context, into any, helper string, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	nsexec := filepath.Join(filepath.Dir(os.Getenv("SWARMNET_BIN")), "nsexec")
	text, err := output(exec.CommandContext(ctx, nsexec, append([]string{self, helper}, args...)...))
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), into)
}
