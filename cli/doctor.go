package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet/daemon"
	"github.com/swarmnet/swarmnet/doctor"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// finding is a row of `doctor`.
type finding struct{ Check, Verdict, Found, Cure string }

func (a *app) doctorCmd() *cobra.Command {
	var (
		format, dataDir string
		quiet           bool
	)
	cmd := &cobra.Command{Use: "doctor", Short: "Look for what keeps this host's networks from working",
		Long: "Look at this host (kernel, balancer, forwarding, firewall, ports, MTU, clock, certificate) and try the ways to every manager and node.\nEach finding comes with its cure. It works without the daemon, too. The exit status is 1 when something is wrong. Docker has no such\ncommand.",
		Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := newPrinter(format, []column[finding]{{"CHECK", "Check"}, {"VERDICT", "Verdict"}, {"FOUND", "Found"}, {"CURE", "Cure"}})
			if err != nil {
				return err
			}
			if format == "table" {
				out = writeFindings
			}
			found, err := a.examine(cmd.Context(), dataDir)
			if err != nil {
				return err
			}
			rows := []finding{}
			for _, f := range found {
				if !quiet || f.Verdict != doctor.OK {
					rows = append(rows, finding{f.Check, string(f.Verdict), f.Found, f.Cure})
				}
			}
			if err := out(a.stdout, rows); err != nil {
				return err
			}
			if doctor.AnyWrong(found) {
				return exitStatus(1)
			}
			return nil
		}}
	cmd.Flags().StringVar(&format, "format", "table", "table, json, 'table TEMPLATE' or TEMPLATE (Go)")
	cmd.Flags().StringVar(&dataDir, "data-dir", "/var/lib/swarmnet", "the daemon's, for when it does not answer")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "only what is not ok")
	return cmd
}

// writeFindings is a table in which each cure has a line of its own: in a column it would be off every screen.
func writeFindings(w io.Writer, rows []finding) error {
	tw := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
	fmt.Fprintln(tw, "CHECK\tVERDICT\tFOUND")
	for _, r := range rows {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", r.Check, r.Verdict, r.Found)
		if r.Cure != "" {
			fmt.Fprintf(tw, "\t\tcure: %s\n", r.Cure)
		}
	}
	return tw.Flush()
}

// examine asks the daemon; when it does not answer on its socket, this process looks itself.
func (a *app) examine(ctx context.Context, dataDir string) ([]doctor.Finding, error) {
	path, here := strings.CutPrefix(a.host, "unix://")
	if !here {
		return nil, usagef("doctor looks at the host that it runs on: run it there, without --host %s", a.host)
	}
	local, err := a.local(ctx)
	if err != nil {
		if !filepath.IsAbs(path) {
			return nil, err
		}
		return daemon.Doctor(ctx, daemon.Config{DataDir: dataDir, RunDir: filepath.Dir(path), SocketPath: path}, err.Error(), daemon.Told{}), nil
	}
	r, err := local.Doctor(ctx, &pb.DoctorRequest{})
	if err != nil {
		return nil, err
	}
	var out []doctor.Finding
	for _, f := range r.GetFindings() {
		out = append(out, doctor.Finding{Check: f.GetCheck(), Verdict: doctor.Verdict(f.GetVerdict()), Found: f.GetFound(), Cure: f.GetCure()})
	}
	return out, nil
}
