package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/trace"
)

// traceStep is a line of `trace`.
type traceStep struct{ Step, Verdict, Found, Why string }

func (a *app) traceCmd() *cobra.Command {
	var format string
	cmd := &cobra.Command{Use: "trace FROM TO[:PORT]", Short: "Follow a packet's way from a sandbox of this node, step by step",
		Long: "Follow a packet's way from FROM, a task or sandbox of this node, to TO: a name, a virtual or other address, or :PORT for a published\nport. Each step says what was found; connections are tried from inside the sandbox. The way ends at the step that fails, which says why;\nthe exit status is 1 then. Docker has no such command.",
		Args: exactly("FROM", "TO[:PORT]"), RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return usagef("--format %q: text or json is wanted", format)
			}
			if err := trace.ParseTarget(args[1]); err != nil {
				return usageError{err}
			}
			local, err := a.local(cmd.Context())
			if err != nil {
				return err
			}
			stream, err := local.Trace(cmd.Context(), &pb.TraceRequest{From: args[0], To: args[1]})
			if err != nil {
				return err
			}
			failed := false
			for {
				m, err := stream.Recv()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return err
				}
				failed = failed || m.GetVerdict() == string(trace.Failed)
				if err := writeStep(a.stdout, format, traceStep{m.GetStep(), m.GetVerdict(), m.GetFound(), m.GetWhy()}); err != nil {
					return err
				}
			}
			if failed {
				return exitStatus(1)
			}
			return nil
		}}
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	cmd.ValidArgsFunction = a.completeSandboxes(1, running)
	return cmd
}

// writeStep prints a step as soon as it is known.
func writeStep(w io.Writer, format string, s traceStep) error {
	if format == "json" {
		return json.NewEncoder(w).Encode(s)
	}
	if _, err := fmt.Fprintf(w, "%-9s %-7s %s\n", s.Step, s.Verdict, s.Found); err != nil || s.Why == "" {
		return err
	}
	_, err := fmt.Fprintf(w, "%18swhy: %s\n", "", s.Why)
	return err
}
