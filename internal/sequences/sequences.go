// Package sequences says how many random sequences the tests of a node's own networks and sandboxes take: 10,000 in all as `make test` runs
// them, from the state alone (most of them) over an agent with a kernel in memory to whole agents on the real one.
package sequences

import (
	"flag"
	"os"
	"strconv"
	"testing"
)

// Env has a number by which that of every test is multiplied: SWARMNET_SEQUENCES=100 for a night.
const Env = "SWARMNET_SEQUENCES"

// Count is how many sequences a test takes that takes n by default: a hundredth of it with -short.
func Count(n int) int {
	if testing.Short() {
		return max(1, n/100)
	}
	if times, err := strconv.Atoi(os.Getenv(Env)); err == nil && times > 0 {
		n *= times
	}
	return n
}

// Default has every property test of a package (pgregory.net/rapid) take so many sequences unless -rapid.checks was given. It is called by
// TestMain.
func Default(n int) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if given {
		return
	}
	if err := flag.Set("rapid.checks", strconv.Itoa(Count(n))); err != nil {
		panic(err) // the package has no property test
	}
}
