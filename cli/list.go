package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"text/template"

	"github.com/spf13/cobra"
)

// column is one column of a table: its heading and the field of the row that it shows. The same fields are what --format json
// prints and a template can name.
type column[R any] struct{ heading, field string }

// filterFunc says whether an object passes one value of a --filter.
type filterFunc[T any] func(obj T, value string) bool

// lister describes an ls command over objects T that are shown as rows R, flat structs.
type lister[T, R any] struct {
	use, short, long, example string
	columns                   []column[R]
	quiet                     func(R) string
	quietText                 string // of --quiet; empty: ids only
	filters                   map[string]filterFunc[T]
	// values are those that a filter's key can have, where they are few; hints some of the many.
	values, hints map[string][]string
	// notes, unless it is nil, says below a table what no row says, a line each.
	notes func([]T) []string
	list  func(ctx context.Context, noTrunc bool) ([]T, error)
	row   func(obj T, noTrunc bool) R
}

func lsCmd[T, R any](a *app, l lister[T, R]) *cobra.Command {
	var (
		format  string
		filters []string
		quiet   bool
		noTrunc bool
	)
	if l.use == "" {
		l.use = "ls"
	}
	cmd := &cobra.Command{Use: l.use, Aliases: []string{"list"}, Short: l.short, Long: l.long, Example: l.example, Args: exactly(), ValidArgsFunction: cobra.NoFileCompletions, RunE: func(cmd *cobra.Command, _ []string) error {
		pass, err := parseFilters(filters, l.filters)
		if err == nil {
			err = checkFilters(filters, l.values)
		}
		if err != nil {
			return err
		}
		out, err := newPrinter(format, l.columns)
		if err != nil {
			return err
		}
		objs, err := l.list(cmd.Context(), noTrunc)
		if err != nil {
			return err
		}
		var rows []R
		for _, o := range objs {
			if pass(o) {
				rows = append(rows, l.row(o, noTrunc))
			}
		}
		if quiet {
			for _, r := range rows {
				fmt.Fprintln(a.stdout, l.quiet(r))
			}
			return nil
		}
		if err := out(a.stdout, rows); err != nil || l.notes == nil || !strings.HasPrefix(format, "table") {
			return err
		}
		for _, n := range l.notes(objs) {
			fmt.Fprintln(a.stderr, n)
		}
		return nil
	}}
	if l.use != "ls" {
		cmd.Aliases = nil
	}
	cmd.Flags().StringVar(&format, "format", "table", "table, json, 'table TEMPLATE' or TEMPLATE (Go)")
	if l.filters != nil {
		cmd.Flags().StringArrayVarP(&filters, "filter", "f", nil, "show what matches KEY=VALUE; keys: "+strings.Join(sortedKeys(l.filters), ", "))
	}
	if l.quietText == "" {
		l.quietText = "ids only"
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, l.quietText)
	cmd.Flags().BoolVar(&noTrunc, "no-trunc", false, "whole ids and texts")
	a.mustCompleteFlag(cmd, "format", completeFormat("table", "json"))
	if l.filters != nil {
		a.mustCompleteFlag(cmd, "filter", completeFilter(sortedKeys(l.filters), l.values, l.hints))
	}
	return cmd
}

// checkFilters refuses values that nothing can have.
func checkFilters(filters []string, values map[string][]string) error {
	for _, f := range filters {
		k, v, _ := strings.Cut(f, "=")
		if known, ok := values[k]; ok && !slices.Contains(known, v) {
			return usagef("--filter %q: one of %s is wanted", f, strings.Join(known, ", "))
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// parseFilters reads KEY=VALUE filters: values of one key are alternatives, keys must all hold.
func parseFilters[T any](args []string, known map[string]filterFunc[T]) (func(T) bool, error) {
	values := map[string][]string{}
	for _, arg := range args {
		k, v, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, usagef("--filter %q: KEY=VALUE is wanted", arg)
		}
		if _, ok := known[k]; !ok {
			return nil, usagef("--filter %q: there is no key %q; one of %s is wanted", arg, k, strings.Join(sortedKeys(known), ", "))
		}
		values[k] = append(values[k], v)
	}
	return func(obj T) bool {
		for k, vs := range values {
			if !slices.ContainsFunc(vs, func(v string) bool { return known[k](obj, v) }) {
				return false
			}
		}
		return true
	}, nil
}

var fieldInTemplate = regexp.MustCompile(`\.[A-Z][A-Za-z]*`)

// newPrinter reads a --format.
func newPrinter[R any](format string, columns []column[R]) (func(io.Writer, []R) error, error) {
	heading := map[string]string{}
	for _, c := range columns {
		heading[c.field] = c.heading
	}
	switch {
	case format == "json":
		return func(w io.Writer, rows []R) error {
			for _, r := range rows {
				if err := json.NewEncoder(w).Encode(r); err != nil {
					return err
				}
			}
			return nil
		}, nil
	case format == "table" || format == "":
		var head, cells []string
		for _, c := range columns {
			head = append(head, c.heading)
			cells = append(cells, "{{."+c.field+"}}")
		}
		return table[R](strings.Join(head, "\t"), strings.Join(cells, "\t"))
	case strings.HasPrefix(format, "table "):
		body := unescape(strings.TrimPrefix(format, "table "))
		head := fieldInTemplate.ReplaceAllStringFunc(body, func(f string) string { return f })
		head = regexp.MustCompile(`\{\{[^}]*\}\}`).ReplaceAllStringFunc(head, func(action string) string {
			f := strings.TrimPrefix(fieldInTemplate.FindString(action), ".")
			if h, ok := heading[f]; ok {
				return h
			}
			return strings.ToUpper(f)
		})
		return table[R](head, body)
	}
	t, err := parseTemplate(unescape(format))
	if err != nil {
		return nil, err
	}
	return func(w io.Writer, rows []R) error { return eachRow(w, t, rows) }, nil
}

// unescape lets a shell's single quotes pass \t and \n, as docker does.
func unescape(s string) string { return strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(s) }

func table[R any](head, body string) (func(io.Writer, []R) error, error) {
	t, err := parseTemplate(body)
	if err != nil {
		return nil, err
	}
	return func(w io.Writer, rows []R) error {
		tw := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
		fmt.Fprintln(tw, head)
		if err := eachRow(tw, t, rows); err != nil {
			return err
		}
		return tw.Flush()
	}, nil
}

func eachRow[R any](w io.Writer, t *template.Template, rows []R) error {
	for _, r := range rows {
		if err := t.Execute(w, r); err != nil {
			return templateError(err, reflect.TypeFor[R]())
		}
		fmt.Fprintln(w)
	}
	return nil
}

func parseTemplate(text string) (*template.Template, error) {
	t, err := template.New("format").Funcs(template.FuncMap{
		"json":  func(v any) (string, error) { b, err := json.Marshal(v); return string(b), err },
		"upper": strings.ToUpper, "println": fmt.Sprintln, "truncate": func(v string, n int) string { return string([]rune(v)[:min(max(n, 0), len([]rune(v)))]) }, "lower": strings.ToLower, "join": strings.Join, "split": strings.Split, "title": strings.ToTitle,
	}).Parse(text)
	if err != nil {
		return nil, usagef("--format: %v", strings.TrimPrefix(err.Error(), "template: "))
	}
	return t, nil
}

func templateError(err error, row reflect.Type) error {
	var fields []string
	if row.Kind() == reflect.Struct {
		for i := range row.NumField() {
			fields = append(fields, "."+row.Field(i).Name)
		}
	}
	return usagef("--format: %v; there are %s", strings.TrimPrefix(err.Error(), "template: "), strings.Join(fields, " "))
}
