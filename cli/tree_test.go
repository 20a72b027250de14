package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// eachCommand walks the whole tree, without what is hidden and what cobra brings.
func eachCommand(t *testing.T, visit func(t *testing.T, cmd *cobra.Command)) {
	t.Helper()
	t.Setenv("SWARMNET_HOST", "unix:///run/swarmnet/swarmnet.sock")
	t.Setenv("SWARMNET_CERT_PATH", "")
	root := (&app{}).root()
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Hidden || cmd.Name() == "help" || cmd.Name() == "completion" {
			return
		}
		t.Run(strings.ReplaceAll(cmd.CommandPath(), " ", "_"), func(t *testing.T) { visit(t, cmd) })
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// Every command says what it does, at length too, and shows an example of itself; every flag says what it is for.
func TestEveryCommandIsExplained(t *testing.T) {
	eachCommand(t, func(t *testing.T, cmd *cobra.Command) {
		if s := cmd.Short; s == "" || !unicode.IsUpper(rune(s[0])) || strings.HasSuffix(s, ".") || strings.Contains(s, "\n") || len(s) > 100 {
			t.Errorf("its short help is %q: a capital, a line, no full stop", s)
		}
		if cmd.Long == "" || strings.HasSuffix(cmd.Long, "\n") {
			t.Errorf("its long help is %q", cmd.Long)
		}
		for text := range strings.SplitSeq(cmd.Long+"\n"+cmd.Example, "\n") {
			if len([]rune(text)) > 145 {
				t.Errorf("a line of its help is %d characters long: %s", len([]rune(text)), text)
			}
		}
		if !cmd.HasSubCommands() {
			for line := range strings.Lines(cmd.Example) {
				if !strings.HasPrefix(line, "  swarmnet ") {
					t.Errorf("the example %q is not a command line, indented by two", line)
				}
			}
			if !strings.Contains(cmd.Example, cmd.Name()) {
				t.Errorf("its example does not use it: %q", cmd.Example)
			}
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" || strings.HasSuffix(f.Usage, ".") || strings.Contains(f.Usage, "\n") {
				t.Errorf("--%s says %q", f.Name, f.Usage)
			}
		})
	})
}

// Every argument and every flag with a value says how it is completed: else a shell offers the files that lie around.
func TestEveryCommandCompletes(t *testing.T) {
	eachCommand(t, func(t *testing.T, cmd *cobra.Command) {
		if !cmd.HasSubCommands() && cmd.ValidArgsFunction == nil && cmd.ValidArgs == nil {
			t.Error("nothing says how its arguments are completed")
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() == "bool" || f.Name == "help" {
				return
			}
			if _, ok := cmd.GetFlagCompletionFunc(f.Name); !ok {
				t.Errorf("nothing says how --%s is completed", f.Name)
			}
		})
	})
}

// What cannot be meant is one line and status 2 (125 where the status is the workload's), before a daemon is asked.
func TestEveryCommandRefusesWrongUsage(t *testing.T) {
	eachCommand(t, func(t *testing.T, cmd *cobra.Command) {
		path := strings.Fields(cmd.CommandPath())[1:]
		wrong := [][]string{append(slices.Clone(path), "--no-such-flag")}
		if cmd.HasSubCommands() {
			wrong = append(wrong, append(slices.Clone(path), "nosuchcommand"))
		} else if err := cmd.ValidateArgs(slices.Repeat([]string{"x"}, 9)); err != nil { // it takes fewer
			wrong = append(wrong, append(slices.Clone(path), slices.Repeat([]string{"x"}, 9)...))
		}
		if !cmd.HasSubCommands() && cmd.ValidateArgs(nil) != nil {
			wrong = append(wrong, path)
		}
		for _, args := range wrong {
			var out, errs bytes.Buffer
			code := Run(t.Context(), append([]string{"--host", "unix:///nonexistent/s.sock"}, args...), strings.NewReader(""), &out, &errs)
			want := 2
			if slices.Contains([]string{"run", "exec", "attach"}, path0(path)) {
				want = ownFailure
			}
			if code != want || strings.Count(errs.String(), "\n") != 1 || !strings.HasPrefix(errs.String(), "Error: ") || out.Len() > 0 {
				t.Errorf("%q: status %d, want %d; %q, %q", args, code, want, errs.String(), out.String())
			}
		}
	})
}

func path0(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return path[0]
}

// The help of each noun is in a file. `go test ./cli -rewrite` writes them anew.
func TestHelp(t *testing.T) {
	rewrite := flag.Lookup("rewrite").Value.String() == "true"
	texts := map[string]*strings.Builder{}
	eachCommand(t, func(t *testing.T, cmd *cobra.Command) {
		path := strings.Fields(cmd.CommandPath())
		file := "swarmnet"
		if len(path) > 1 {
			file = path[1]
			if top, _, err := cmd.Root().Find(path[1:2]); err == nil && !top.HasSubCommands() {
				file = "sandboxes" // and what else has no noun
			}
		}
		if texts[file] == nil {
			texts[file] = &strings.Builder{}
		}
		var out bytes.Buffer
		if code := Run(t.Context(), append(path[1:], "--help"), nil, &out, &out); code != 0 {
			t.Errorf("status %d", code)
		}
		texts[file].WriteString("$ " + cmd.CommandPath() + " --help\n" + out.String() + "\n")
	})
	for file, text := range texts {
		name := filepath.Join("testdata", "help", file+".txt")
		if rewrite {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if b, err := os.ReadFile(name); err != nil || string(b) != text.String() {
			t.Errorf("%s is not what the help says (%v): `go test ./cli -rewrite` writes it anew; it is\n%s", name, err, firstDifference(string(b), text.String()))
		}
	}
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return "- " + x[i] + "\n+ " + y[i]
		}
	}
	return "longer or shorter"
}
