package cli

import (
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/swarmnet/swarmnet/cli/parse"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// logFlags say which part of the output is shown, and how.
type logFlags struct {
	follow, timestamps bool
	tail, since, until string
}

func (f *logFlags) add(a *app, cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.BoolVarP(&f.follow, "follow", "f", false, "go on until it has ended")
	fl.StringVarP(&f.tail, "tail", "n", "all", "the last so many lines")
	fl.StringVar(&f.since, "since", "", "only what came since a time (2006-01-02T15:04:05Z) or in the last while (10m)")
	fl.StringVar(&f.until, "until", "", "only what came before such a time")
	fl.BoolVarP(&f.timestamps, "timestamps", "t", false, "begin each line with its time")
	for _, name := range []string{"tail", "since", "until"} {
		a.mustCompleteFlag(cmd, name, cobra.NoFileCompletions)
	}
}

// request is for one sandbox.
func (f *logFlags) request(now time.Time) (*pb.LogsRequest, error) {
	tail, err := parse.Tail(f.tail)
	if err != nil {
		return nil, usageError{err}
	}
	req := &pb.LogsRequest{Follow: f.follow, Tail: tail}
	for _, m := range []struct {
		flag, value string
		to          **timestamppb.Timestamp
	}{{"since", f.since, &req.Since}, {"until", f.until, &req.Until}} {
		t, err := parse.Moment(m.flag, m.value, now)
		if err != nil {
			return nil, usageError{err}
		}
		if !t.IsZero() {
			*m.to = timestamppb.New(t)
		}
	}
	return req, nil
}

// stampLayout is RFC 3339 with nine places always, so that lines are as long as one another.
const stampLayout = "2006-01-02T15:04:05.000000000Z07:00"

// stamped puts the time before each line.
func stamped(sink func(*pb.LogChunk) error) func(*pb.LogChunk) error {
	within := map[bool]bool{} // the stream is within a line
	return func(c *pb.LogChunk) error {
		data := c.GetData()
		if !within[c.GetStderr()] {
			data = append([]byte(c.GetAt().AsTime().UTC().Format(stampLayout)+" "), data...)
		}
		within[c.GetStderr()] = len(data) > 0 && data[len(data)-1] != '\n'
		return sink(&pb.LogChunk{Data: data, Stderr: c.GetStderr(), At: c.GetAt()})
	}
}

func (a *app) logsCmd() *cobra.Command {
	var f logFlags
	cmd := &cobra.Command{Use: "logs NAME", Short: "Show the output of a sandbox of this node", Args: exactly("NAME"), ValidArgsFunction: a.completeSandboxes(1, nil),
		Long: `Show the output of a sandbox of this node, a task's too: its standard output and standard error, each to our own. About the last two
MiB are kept, also over a restart.

As docker logs, without --details; with a terminal (-t of run) its lines are kept as the terminal got them.`,
		Example: "  swarmnet logs -f --tail 20 db\n  swarmnet logs --since 10m --timestamps db",
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := f.request(a.now())
			if err != nil {
				return err
			}
			s, local, err := a.sandbox(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			req.Task = string(s.ID)
			sink := plainLines(a.stdout, a.stderr)
			if f.timestamps {
				sink = stamped(sink)
			}
			return copyLogs(cmd.Context(), local, req, sink)
		}}
	f.add(a, cmd)
	return cmd
}
