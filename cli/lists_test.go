package cli

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Every list has a table, a JSON object a line, a template of each of its fields, ids alone, whole texts, and refuses a key of a filter that it
// does not know with those that it does.
func TestEveryListHasItsForms(t *testing.T) {
	s := newSession(t, someMember())
	lists := 0
	eachCommand(t, func(t *testing.T, cmd *cobra.Command) {
		if cmd.Flags().Lookup("no-trunc") == nil || strings.HasPrefix(cmd.CommandPath(), "swarmnet lab") {
			return
		}
		lists++
		args := strings.Fields(cmd.CommandPath())[1:]
		switch strings.Join(args, " ") {
		case "top":
			args = append(args, "db")
		case "service ps":
			args = append(args, "web")
		}
		run := func(more ...string) string { return s.run(append(slices.Clone(args), more...), "") }
		table := strings.Split(strings.TrimSpace(run()), "\n")
		if len(table) < 2 || table[0] != strings.ToUpper(table[0]) {
			t.Fatalf("table:\n%s", strings.Join(table, "\n"))
		}
		rows := len(table) - 1
		var fields map[string]any
		objects := 0
		for line := range strings.Lines(run("--format", "json")) {
			fields = nil // else fields of the line before stay
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Fatalf("%q is no JSON object: %v", line, err)
			}
			objects++
		}
		if objects != rows {
			t.Errorf("%d rows and %d JSON objects", rows, objects)
		}
		for name := range fields {
			if out := run("--format", "{{."+name+"}}"); strings.Count(out, "\n") != rows || strings.Contains(out, "Error") {
				t.Errorf("--format {{.%s}}: %q", name, out)
			}
		}
		if out := run("--format", "{{.NoSuch}}"); !strings.Contains(out, "there are .") || !strings.HasSuffix(out, "status 2\n") {
			t.Errorf("an unknown field: %q", out)
		}
		for _, more := range [][]string{{"-q"}, {"-q", "--no-trunc"}} {
			out := strings.TrimSpace(run(more...))
			if got := strings.Split(out, "\n"); len(got) != rows || strings.Contains(out, " ") {
				t.Errorf("%v: %q", more, out)
			}
		}
		if cmd.Flags().Lookup("filter") != nil {
			out := run("--filter", "nosuch=1")
			if !strings.Contains(out, `there is no key "nosuch"; one of `) || !strings.HasSuffix(out, "status 2\n") {
				t.Errorf("an unknown key: %q", out)
			}
			var buf bytes.Buffer
			keys := s.run(append(append([]string{"__complete"}, args...), "--filter", ""), "")
			for line := range strings.Lines(keys) {
				if k, ok := strings.CutSuffix(strings.TrimSpace(line), "="); ok {
					buf.WriteString(k + " ")
					if !strings.Contains(out, k) {
						t.Errorf("the key %s is offered, and not among those known: %s", k, out)
					}
				}
			}
			if buf.Len() == 0 {
				t.Errorf("no keys are offered: %q", keys)
			}
		}
	})
	if lists < 7 {
		t.Errorf("only %d lists were found", lists)
	}
}

// Of several, those that are there are shown, the others are errors, and the status says so.
func TestInspectSeveral(t *testing.T) {
	s := newSession(t, someMember())
	for _, args := range []string{"inspect db nosuch mynet", "network inspect app nosuch mynet"} {
		out := s.run(strings.Fields(args), "")
		end := strings.LastIndex(out, "]")
		var objs []any
		if err := json.Unmarshal([]byte(out[:end+1]), &objs); err != nil || len(objs) != 2 {
			t.Errorf("%s: %d objects, %v", args, len(objs), err)
		}
		if rest := out[end+1:]; strings.Count(rest, "Error: ") != 1 || !strings.Contains(rest, "nosuch") || !strings.HasSuffix(rest, "status 1\n") {
			t.Errorf("%s: %q", args, rest)
		}
	}
}
