package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet/cli/view"
)

// inspectCmd shows whole objects: a JSON array, a template's text each, or --pretty for a person.
func inspectCmd(a *app, what, short string, complete cobra.CompletionFunc, get func(ctx context.Context, ref string) (any, error)) *cobra.Command {
	var (
		format string
		pretty bool
	)
	cmd := &cobra.Command{Use: "inspect " + what + "…", Short: short, Args: atLeast(what), ValidArgsFunction: complete, RunE: func(cmd *cobra.Command, args []string) error {
		if pretty && format != "" {
			return usagef("--pretty and --format exclude each other")
		}
		objs, errs := []view.Value{}, []error(nil)
		for _, ref := range args {
			obj, err := get(cmd.Context(), ref)
			if err != nil {
				errs = append(errs, errors.New(explain(err)))
				continue
			}
			objs = append(objs, view.Of(obj))
		}
		return errors.Join(a.showObjects(objs, format, pretty), errors.Join(errs...))
	}}
	cmd.Flags().StringVar(&format, "format", "", "a Go template, or json")
	cmd.Flags().BoolVar(&pretty, "pretty", false, "for a person")
	return cmd
}

func (a *app) showObjects(objs []view.Value, format string, pretty bool) error {
	switch {
	case pretty:
		for _, o := range objs {
			prettyPrint(a.stdout, o, 0)
		}
		return nil
	case format == "" || format == "json":
		b, err := json.MarshalIndent(objs, "", "    ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.stdout, string(b))
		return err
	}
	t, err := parseTemplate(unescape(format))
	if err != nil {
		return err
	}
	t.Option("missingkey=error")
	for _, o := range objs {
		var b strings.Builder
		if err := t.Execute(&b, o.Plain()); err != nil {
			return usagef("--format: %v", strings.TrimPrefix(err.Error(), "template: "))
		}
		fmt.Fprintln(a.stdout, b.String())
	}
	return nil
}

// prettyPrint writes an object as indented "Key: value" lines, empty values left out.
func prettyPrint(w io.Writer, v view.Value, depth int) {
	indent := strings.Repeat(" ", depth)
	switch x := v.Any().(type) {
	case []view.Field:
		for _, f := range x {
			switch {
			case f.Value.Empty():
			case f.Value.Scalar():
				fmt.Fprintf(w, "%s%s:\t%v\n", indent, f.Name, f.Value.Any())
			default:
				fmt.Fprintf(w, "%s%s:\n", indent, f.Name)
				prettyPrint(w, f.Value, depth+1)
			}
		}
	case []view.Value:
		for _, e := range x {
			if e.Scalar() {
				fmt.Fprintf(w, "%s%v\n", indent, e.Any())
				continue
			}
			prettyPrint(w, e, depth)
		}
	}
}
