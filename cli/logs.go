package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

func (a *app) serviceLogsCmd() *cobra.Command {
	var (
		follow bool
		tail   uint32
	)
	cmd := &cobra.Command{Use: "logs SERVICE", Short: "Show the output of a service's tasks on this node", Args: exactly("SERVICE"), ValidArgsFunction: a.complete(1, serviceNames), RunE: func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		info, err := a.info(ctx)
		if err != nil {
			return err
		}
		local, err := a.local(ctx)
		if err != nil {
			return err
		}
		tasks, err := a.taskInfos(ctx, []taskSource{{service: args[0]}})
		if err != nil {
			return err
		}
		var mu sync.Mutex
		g, ctx := errgroup.WithContext(ctx)
		for _, t := range tasks {
			if string(t.Node) != info.GetNodeId() {
				if t.Node != "" && !t.old {
					fmt.Fprintf(a.stderr, "%s runs on %s: its output is shown there\n", t.shortName(), t.nodeName)
				}
				continue
			}
			g.Go(func() error { return a.taskLogs(ctx, local, t, follow, tail, &mu) })
		}
		return g.Wait()
	}}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	cmd.Flags().Uint32VarP(&tail, "tail", "n", 0, "the last so many lines; 0: all")
	return cmd
}

func (a *app) taskLogs(ctx context.Context, local pb.LocalClient, t taskInfo, follow bool, tail uint32, mu *sync.Mutex) error {
	stream, err := local.Logs(ctx, &pb.LogsRequest{Task: string(t.ID), Follow: follow, Tail: tail})
	if err != nil {
		return err
	}
	prefix := t.shortName() + "@" + t.nodeName + " | "
	out := &prefixer{w: a.stdout, mu: mu, prefix: prefix}
	errOut := &prefixer{w: a.stderr, mu: mu, prefix: prefix}
	defer out.flush()
	defer errOut.flush()
	for {
		c, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case c.GetStderr():
			errOut.write(c.GetData())
		default:
			out.write(c.GetData())
		}
	}
}

// prefixer writes whole lines, each with a prefix, so that several tasks can share a terminal.
type prefixer struct {
	w      io.Writer
	mu     *sync.Mutex
	prefix string
	rest   []byte
}

func (p *prefixer) write(b []byte) {
	p.rest = append(p.rest, b...)
	for {
		i := bytes.IndexByte(p.rest, '\n')
		if i < 0 {
			return
		}
		p.line(p.rest[:i])
		p.rest = p.rest[i+1:]
	}
}

func (p *prefixer) flush() {
	if len(p.rest) > 0 {
		p.line(p.rest)
	}
}

func (p *prefixer) line(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, "%s%s\n", p.prefix, b)
}
