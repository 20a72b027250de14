package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// Diff answers what the test says; asked again, what comes after that.
func (f *fake) Diff(context.Context, *pb.DiffRequest) (*pb.NodeDiff, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.diffs) == 0 {
		return nil, status.Error(codes.Unavailable, "this node's agent is not running yet")
	}
	d := f.diffs[0]
	if len(f.diffs) > 1 {
		f.diffs = f.diffs[1:]
	}
	return d, nil
}

func (f *fakeCluster) DiffNode(_ context.Context, r *pb.ObjectRef) (*pb.NodeDiff, error) {
	if f.err != nil {
		return nil, f.err
	}
	f.note("DiffNode", r)
	return &pb.NodeDiff{}, nil
}

var (
	someDiff = &pb.NodeDiff{Differences: []*pb.Difference{
		{Part: "networks", Object: "fdb 02:42:0a:00:01:07 dst 192.0.2.2 self"},
		{Part: "networks", Surplus: true, Object: "link br-what"},
		{Part: "sandbox web.1.abc", Object: "route default via 10.0.1.1 dev eth0"},
	}}
	halfDiff = &pb.NodeDiff{Unknown: []string{"networks: no manager has said"}}
)

func TestDiff(t *testing.T) {
	for _, c := range []struct {
		name  string
		diffs []*pb.NodeDiff
		args  string
		want  string
	}{
		{"agrees", []*pb.NodeDiff{{}}, "diff", ""},
		{"differs", []*pb.NodeDiff{someDiff}, "diff", `@@ networks @@
+ fdb 02:42:0a:00:01:07 dst 192.0.2.2 self
- link br-what
@@ sandbox web.1.abc @@
+ route default via 10.0.1.1 dev eth0
status 1
`},
		{"json", []*pb.NodeDiff{someDiff}, "diff --format json", `{"Part":"networks","Sign":"+","Object":"fdb 02:42:0a:00:01:07 dst 192.0.2.2 self"}
{"Part":"networks","Sign":"-","Object":"link br-what"}
{"Part":"sandbox web.1.abc","Sign":"+","Object":"route default via 10.0.1.1 dev eth0"}
status 1
`},
		{"template", []*pb.NodeDiff{someDiff}, "diff --format {{.Sign}}", "+\n-\n+\nstatus 1\n"},
		{"unknown", []*pb.NodeDiff{halfDiff}, "diff", "Not compared: networks: no manager has said\nstatus 2\n"},
		{"no daemon", nil, "diff", "Error: this node's agent is not running yet\nstatus 2\n"},
		{"another node", nil, "diff n2", "> DiffNode {\"ref\":\"n2\"}\n"},
		{"self", nil, "diff self", "> DiffNode {\"ref\":\"node1\"}\n"},
		{"wrong format", nil, "diff --watch --format {{.Part}}", "Error: --watch with --format \"{{.Part}}\": text or json is wanted\nstatus 2\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSession(t, &fake{diffs: c.diffs, cluster: &fakeCluster{}})
			if got := s.run(strings.Fields(c.args), ""); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
	s := newSession(t, &fake{})
	if got := s.run([]string{"diff", "n2"}, ""); !strings.Contains(got, "in no cluster") || !strings.HasSuffix(got, "status 2\n") {
		t.Errorf("outside a cluster: %s", got)
	}
}

// A watch shows what differs whenever it has changed, and that all agrees.
func TestDiffWatch(t *testing.T) {
	s := newSession(t, &fake{diffs: []*pb.NodeDiff{{}, someDiff, someDiff, halfDiff, {}}})
	for _, format := range []string{"text", "json"} {
		var out, errs bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		looks := 0
		a := &app{stdout: &out, stderr: &errs, now: func() time.Time { return noon }, host: s.host}
		err := a.watchDiff(ctx, func(ctx context.Context) (d swarmnet.NodeDiff, err error) {
			look, err := a.differ(ctx, nil)
			if err != nil {
				return d, err
			}
			if looks++; looks == 6 {
				cancel()
			}
			return look(ctx)
		}, format, time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		a.conn.Close()
		text := out.String()
		if format == "text" {
			want := "2030-01-02T12:00:00.000000000Z all agrees\n2030-01-02T12:00:00.000000000Z 3 differences\n@@ networks @@\n"
			if !strings.HasPrefix(text, want) || strings.Count(text, "3 differences") != 1 || !strings.Contains(text, "not compared: networks") || !strings.HasSuffix(text, "all agrees\n") {
				t.Errorf("got\n%s", text)
			}
			s.fake.diffs = []*pb.NodeDiff{{}, someDiff, {}}
			continue
		}
		var seen []int
		for line := range strings.Lines(text) {
			var w watched
			if err := json.Unmarshal([]byte(line), &w); err != nil {
				t.Fatal(err)
			}
			seen = append(seen, len(w.Differences))
		}
		if len(seen) != 3 || seen[0] != 0 || seen[1] != 3 || seen[2] != 0 {
			t.Errorf("got %v", seen)
		}
	}
}
