package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// zombies are the children of this process that have ended and nobody has waited for.
func zombies() (out []string) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") //nolint:errcheck // the pattern is well-formed
	for _, name := range stats {
		b, _ := os.ReadFile(name) //nolint:errcheck // it is gone
		_, rest, _ := strings.Cut(string(b), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[0] == "Z" && f[1] == fmt.Sprint(os.Getpid()) {
			out = append(out, name)
		}
	}
	return out
}

func TestKernelShimsAreReaped(t *testing.T) {
	needNamespaces(t)
	dir := t.TempDir()
	e, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	run(t, e, "ends", "true")
	run(t, e, "stays", "sleep", "600")
	waitEnd(t, e, "ends")
	waitFor(t, "the shim is reaped", func() bool { return len(zombies()) == 0 })

	// So are those that another executor of this process began, as when a node joins a cluster.
	e.Close()
	e = newExecutor(t, dir)
	if err := e.Remove(t.Context(), "stays"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the shim is reaped", func() bool { return len(zombies()) == 0 })
}
