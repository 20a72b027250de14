package cli

import (
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// The scripts are command lines and all that they give: what the daemon was asked to change (>), the output, the errors and the
// status. `go test ./cli -rewrite` writes them anew.
func TestScripts(t *testing.T) {
	for name, node := range map[string]func() *fake{"node": someNode, "member": someMember} {
		t.Run(name, func(t *testing.T) {
			datadriven.Walk(t, "testdata/"+name, func(t *testing.T, path string) {
				s := newSession(t, node())
				datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
					var out strings.Builder
					for line := range strings.Lines(d.Input) {
						out.WriteString(s.run(words(strings.TrimSpace(line)), "typed\n"))
					}
					return out.String()
				})
			})
		})
	}
}

// words splits a line at its spaces; single quotes keep what is between them together.
func words(line string) []string {
	var out []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			out = append(out, part)
			continue
		}
		out = append(out, strings.Fields(part)...)
	}
	return out
}
