package main

import (
	"fmt"
	"strings"
)

// Bug is a mistake that somebody could make.
type Bug struct {
	Name string
	File string // from the root of the module
	// Old is replaced by New. It is in File exactly once; otherwise the bug is stale.
	Old, New string
	Test     Test
	// Why says in a sentence what goes wrong with it.
	Why string
}

// Test is what must fail: go test PKG -run RUN.
type Test struct{ Pkg, Run string }

func (t Test) String() string { return fmt.Sprintf("go test ./%s -run '%s'", t.Pkg, t.Run) }

func bugs() (all []Bug) {
	for _, group := range [][]Bug{logBugs(), raftBugs(), stateBugs(), plannerBugs(), gossipBugs(), dataPathBugs(), dnsBugs(), agentBugs(), simulationBugs(), ipvsBugs(), kernelBugs()} {
		all = append(all, group...)
	}
	return all
}

// plant returns the source with the bug in it.
func (b Bug) plant(source string) (string, error) {
	if n := strings.Count(source, b.Old); n != 1 {
		return "", fmt.Errorf("the text that it replaces is %d times in %s", n, b.File)
	}
	return strings.Replace(source, b.Old, b.New, 1), nil
}
