package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/swarmnet/swarmnet/cli/parse"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// event is what a line of `events` says, by the names of its templates. What is a node's own has no revision.
type event struct {
	Time                                         time.Time
	Scope, Type, Action, ID, Name, Actor, Detail string
	Revision                                     uint64
}

func (e event) String() string {
	s := fmt.Sprintf("%s %s %s %s ", e.Time.UTC().Format(stampLayout), e.Scope, e.Type, e.Action)
	if e.Name != "" {
		s += e.Name + " "
	}
	s += fmt.Sprintf("(%s) actor=%q", e.ID, e.Actor)
	if e.Revision != 0 {
		s += fmt.Sprintf(" revision=%d", e.Revision)
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

var (
	eventKinds   = []string{"cluster", "endpoint", "network", "node", "sandbox", "service", "task"}
	eventActions = []string{"connect", "create", "die", "disconnect", "drift", "remove", "rename", "start", "stop", "update"}
)

func eventFilters() map[string]filterFunc[event] {
	known := map[string]filterFunc[event]{
		"scope":  func(e event, v string) bool { return e.Scope == v },
		"type":   func(e event, v string) bool { return e.Type == v },
		"event":  func(e event, v string) bool { return e.Action == v },
		"action": func(e event, v string) bool { return e.Action == v },
		"actor":  func(e event, v string) bool { return e.Actor == v },
		"id":     func(e event, v string) bool { return strings.HasPrefix(e.ID, v) },
		"name":   func(e event, v string) bool { return e.Name == v },
	}
	for _, k := range eventKinds {
		known[k] = func(e event, v string) bool { return e.Type == k && (e.Name == v || e.ID == v) }
	}
	return known
}

func (a *app) eventsCmd() *cobra.Command {
	var (
		since, until, format string
		filters              []string
	)
	known := eventFilters()
	values := map[string][]string{"scope": {"node", "cluster"}, "type": eventKinds, "event": eventActions, "action": eventActions}
	cmd := &cobra.Command{Use: "events", Short: "Follow what changes on this node and in its cluster", Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
		pass, err := parseFilters(filters, known)
		if err == nil {
			err = checkFilters(filters, values)
		}
		if err != nil {
			return err
		}
		req, err := eventsRequest(since, until, a.now())
		if err != nil {
			return err
		}
		show := func(e event) error { _, err := fmt.Fprintln(a.stdout, e); return err }
		switch {
		case format == "json":
			show = func(e event) error { return json.NewEncoder(a.stdout).Encode(e) }
		case format != "":
			t, err := parseTemplate(unescape(format))
			if err != nil {
				return err
			}
			show = func(e event) error { return eachRow(a.stdout, t, []event{e}) }
		}
		return a.events(cmd.Context(), req, func(e event) error {
			if !pass(e) {
				return nil
			}
			return show(e)
		})
	}}
	cmd.Flags().StringVar(&since, "since", "", "what happened since a time, in the last while (10m), or after a revision; else from now on")
	cmd.Flags().StringVar(&until, "until", "", "end at a time (2006-01-02T15:04:05Z), or after what happened until a while ago (0s: now)")
	cmd.Flags().StringVar(&format, "format", "", "json or a Go template")
	cmd.Flags().StringArrayVarP(&filters, "filter", "f", nil, "KEY=VALUE: scope, type, action (or event), actor, id, name, or a type's name or id; repeatable")
	a.mustCompleteFlag(cmd, "filter", completeFilter(sortedKeys(known), values))
	return cmd
}

// leastTime is where numbers are seconds since 1970: no cluster has that many revisions.
const leastTime = 1_000_000_000

func eventsRequest(since, until string, now time.Time) (*pb.EventsRequest, error) {
	req := &pb.EventsRequest{}
	if n, err := strconv.ParseUint(since, 10, 64); err == nil && n < leastTime {
		req.Since = n
		since = ""
	}
	from, err := parse.Moment("since", since, now)
	if err != nil {
		return nil, usageError{err}
	}
	to, err := parse.Moment("until", until, now)
	if err != nil {
		return nil, usageError{err}
	}
	if !from.IsZero() {
		req.SinceTime = timestamppb.New(from)
	}
	if !to.IsZero() {
		req.Until = timestamppb.New(to)
	}
	return req, nil
}

// events hands those of the node and of its cluster to show. What has an end already is sorted.
func (a *app) events(ctx context.Context, req *pb.EventsRequest, show func(event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	streams, err := a.eventStreams(ctx, req)
	if err != nil {
		return err
	}
	type item struct {
		event
		err error
	}
	items := make(chan item)
	for scope, stream := range streams {
		go func() { // ends with the stream, which ends with ctx
			for {
				m, err := stream.Recv()
				it := item{event{Time: m.GetAt().AsTime(), Scope: scope, Type: m.GetKind(), Action: m.GetAction(), ID: m.GetId(), Name: m.GetName(),
					Actor: m.GetActor(), Detail: m.GetDetail(), Revision: m.GetRevision()}, err}
				select {
				case items <- it:
				case <-ctx.Done():
					return
				}
				if err != nil {
					return
				}
			}
		}()
	}
	sorted := req.GetUntil() != nil && !req.GetUntil().AsTime().After(a.now())
	var all []event
	for open := len(streams); open > 0; {
		var it item
		select {
		case it = <-items:
		case <-ctx.Done(): // an interrupt is how one ends it
			return nil
		}
		switch {
		case errors.Is(it.err, io.EOF):
			open--
		case ctx.Err() != nil:
			return nil
		case it.Scope == "cluster" && len(streams) > 1 && status.Code(it.err) == codes.FailedPrecondition: // in no cluster, or a worker
			open--
			if !a.inNoCluster(ctx, it.err) {
				fmt.Fprintf(a.stderr, "What changes in the cluster is not shown: %s\n", explain(it.err))
			}
		case it.err != nil:
			return it.err
		case sorted:
			all = append(all, it.event)
		default:
			if err := show(it.event); err != nil {
				return err
			}
		}
	}
	slices.SortStableFunc(all, func(x, y event) int { return x.Time.Compare(y.Time) })
	for _, e := range all {
		if err := show(e); err != nil {
			return err
		}
	}
	return nil
}

// eventStreams are those that can be had here, by scope. A revision is the cluster's alone.
func (a *app) eventStreams(ctx context.Context, req *pb.EventsRequest) (map[string]grpc.ServerStreamingClient[pb.Event], error) {
	control, err := a.control(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]grpc.ServerStreamingClient[pb.Event]{}
	if out["cluster"], err = control.Events(ctx, req); err != nil {
		return nil, err
	}
	if req.GetSince() != 0 || !strings.HasPrefix(a.host, "unix://") {
		return out, nil
	}
	local, err := a.local(ctx)
	if err == nil {
		out["node"], err = local.Events(ctx, req)
	}
	return out, err
}
