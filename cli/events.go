package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// event is what a line of `events` says, by the names of its templates.
type event struct {
	Revision                              uint64
	Time                                  time.Time
	Type, Action, ID, Name, Actor, Detail string
}

func (e event) String() string {
	s := fmt.Sprintf("%s %d %s %s %s (%s)", e.Time.Format(time.RFC3339Nano), e.Revision, e.Type, e.Action, e.Name, e.ID)
	if e.Detail != "" {
		s += " " + e.Detail
	}
	return s
}

func (a *app) eventsCmd() *cobra.Command {
	var (
		since   uint64
		format  string
		filters []string
	)
	known := map[string]filterFunc[event]{
		"type":   func(e event, v string) bool { return e.Type == v },
		"event":  func(e event, v string) bool { return e.Action == v },
		"id":     func(e event, v string) bool { return strings.HasPrefix(e.ID, v) },
		"name":   func(e event, v string) bool { return e.Name == v },
		"action": func(e event, v string) bool { return e.Action == v },
	}
	kinds := []string{"network", "service", "task", "node", "endpoint", "cluster"}
	for _, k := range kinds {
		known[k] = func(e event, v string) bool { return e.Type == k && (e.Name == v || e.ID == v) }
	}
	cmd := &cobra.Command{Use: "events", Short: "Follow what changes in the cluster", Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
		pass, err := parseFilters(filters, known)
		if err != nil {
			return err
		}
		for _, f := range filters {
			if v, ok := strings.CutPrefix(f, "type="); ok && !slices.Contains(kinds, v) {
				return usagef("--filter %q: one of %s is wanted", f, strings.Join(kinds, ", "))
			}
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
		control, err := a.control(cmd.Context())
		if err != nil {
			return err
		}
		stream, err := control.Events(cmd.Context(), &pb.EventsRequest{Since: since})
		if err != nil {
			return err
		}
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) || cmd.Context().Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			e := event{Revision: m.GetRevision(), Time: m.GetAt().AsTime(), Type: m.GetKind(), Action: m.GetAction(), ID: m.GetId(), Name: m.GetName(), Actor: m.GetActor(), Detail: m.GetDetail()}
			if pass(e) {
				if err := show(e); err != nil {
					return err
				}
			}
		}
	}}
	cmd.Flags().Uint64Var(&since, "since", 0, "revision to go on from; 0: from now on")
	cmd.Flags().StringVar(&format, "format", "", "json or a Go template")
	cmd.Flags().StringArrayVarP(&filters, "filter", "f", nil, "KEY=VALUE: type, action, id, name, or a type's name or id")
	return cmd
}
