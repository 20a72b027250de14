package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// difference is a line of `diff`, by the names of its templates. Sign is "+" or "-".
type difference struct{ Part, Sign, Object string }

// Exit statuses of `diff`, as of diff(1).
const (
	statusDiffers = 1
	statusTrouble = 2
)

// diffEvery is how often --watch looks.
const diffEvery = time.Second

func (a *app) diffCmd() *cobra.Command {
	var (
		format string
		watch  bool
	)
	cmd := &cobra.Command{Use: "diff [NODE]", Short: "Compare what a node's kernel has with what it should have",
		Args: atMost("NODE"), ValidArgsFunction: a.complete(1, nodeNames), RunE: func(cmd *cobra.Command, args []string) error {
			show, err := diffPrinter(format)
			if err != nil {
				return err
			}
			look, err := a.differ(cmd.Context(), args)
			if err == nil && watch {
				return trouble(a.watchDiff(cmd.Context(), look, format, diffEvery))
			}
			var d swarmnet.NodeDiff
			if err == nil {
				d, err = look(cmd.Context())
			}
			if err == nil {
				err = show(a.stdout, diffRows(d))
			}
			if err != nil {
				return trouble(err)
			}
			for _, u := range d.Unknown {
				fmt.Fprintf(a.stderr, "Not compared: %s\n", strings.ReplaceAll(u, "\n", "; "))
			}
			switch {
			case len(d.Differences) > 0:
				return exitStatus(statusDiffers)
			case len(d.Unknown) > 0:
				return exitStatus(statusTrouble)
			}
			return nil
		}}
	cmd.Flags().StringVar(&format, "format", "text", "text, json, 'table TEMPLATE' or TEMPLATE (Go)")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "look again every second and show what has changed, until interrupted")
	a.mustCompleteFlag(cmd, "format", completeFormat("text", "json"))
	return cmd
}

// trouble gives an error the status that does not mean that something differs.
func trouble(err error) error {
	if err == nil {
		return nil
	}
	return exitError{err, statusTrouble}
}

// differ returns what compares: this node's daemon, or for another node a manager.
func (a *app) differ(ctx context.Context, node []string) (func(context.Context) (swarmnet.NodeDiff, error), error) {
	from := func(d *pb.NodeDiff, err error) (swarmnet.NodeDiff, error) { return wire.NodeDiffFromProto(d), err }
	if len(node) == 0 && strings.HasPrefix(a.host, "unix://") {
		local, err := a.local(ctx)
		return func(ctx context.Context) (swarmnet.NodeDiff, error) { return from(local.Diff(ctx, &pb.DiffRequest{})) }, err
	}
	if len(node) == 0 {
		return nil, usagef("--host %s: which node? name it: `swarmnet diff NODE`", a.host)
	}
	ref, err := a.selfRef(ctx, node[0])
	if err != nil {
		return nil, err
	}
	control, err := a.control(ctx)
	return func(ctx context.Context) (swarmnet.NodeDiff, error) {
		return from(control.DiffNode(ctx, &pb.ObjectRef{Ref: ref}))
	}, err
}

func diffRows(d swarmnet.NodeDiff) []difference {
	rows := []difference{}
	for _, x := range d.Differences {
		sign := "+"
		if x.Surplus {
			sign = "-"
		}
		rows = append(rows, difference{x.Part, sign, x.Object})
	}
	return rows
}

func diffPrinter(format string) (func(io.Writer, []difference) error, error) {
	if format == "text" {
		return writeDiff, nil
	}
	return newPrinter(format, []column[difference]{{"PART", "Part"}, {"SIGN", "Sign"}, {"OBJECT", "Object"}})
}

// writeDiff names each part before its lines, as diff(1) does a hunk.
func writeDiff(w io.Writer, rows []difference) error {
	part := ""
	for _, r := range rows {
		if r.Part != part {
			part = r.Part
			if _, err := fmt.Fprintf(w, "@@ %s @@\n", part); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(w, "%s %s\n", r.Sign, r.Object); err != nil {
			return err
		}
	}
	return nil
}

// watched is a line of `diff --watch --format json`: what differs from that time on.
type watched struct {
	Time        time.Time
	Differences []difference
	Unknown     []string `json:",omitempty"`
}

// watchDiff shows what differs whenever that is something else than before, until ctx ends.
func (a *app) watchDiff(ctx context.Context, look func(context.Context) (swarmnet.NodeDiff, error), format string, every time.Duration) error {
	if format != "text" && format != "json" {
		return usagef("--watch with --format %q: text or json is wanted", format)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last, first := (swarmnet.NodeDiff{}), true; ; first = false {
		d, err := look(ctx)
		switch {
		case ctx.Err() != nil: // an interrupt is how one ends it
			return nil
		case err != nil:
			return err
		}
		if first || !slices.Equal(d.Differences, last.Differences) || !slices.Equal(d.Unknown, last.Unknown) {
			if err := a.showWatched(watched{a.now(), diffRows(d), d.Unknown}, format); err != nil {
				return err
			}
		}
		last = d
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (a *app) showWatched(w watched, format string) error {
	if format == "json" {
		return json.NewEncoder(a.stdout).Encode(w)
	}
	what := fmt.Sprintf("%d differences", len(w.Differences))
	switch {
	case len(w.Differences) == 1:
		what = "1 difference"
	case len(w.Differences) == 0 && len(w.Unknown) == 0:
		what = "all agrees"
	}
	fmt.Fprintf(a.stdout, "%s %s\n", w.Time.UTC().Format(stampLayout), what)
	for _, u := range w.Unknown {
		fmt.Fprintf(a.stdout, "not compared: %s\n", u)
	}
	return writeDiff(a.stdout, w.Differences)
}
