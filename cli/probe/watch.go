package probe

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"time"
)

// Sight is what a name resolved to from a moment on.
type Sight struct {
	At      time.Time `json:"at"`
	Name    string    `json:"name"`
	Rcode   string    `json:"rcode,omitempty"`
	Answers []string  `json:"answers"` // ordered
	Err     string    `json:"err,omitempty"`
}

// Watch asks a name server for the IPv4 addresses of names, all of them every so often, until ctx ends. It writes a Sight as a line of JSON
// whenever an answer is another one than before.
func Watch(ctx context.Context, w io.Writer, server string, names []string, every time.Duration) error {
	last := map[string]Sight{}
	enc := json.NewEncoder(w)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		for _, name := range names {
			r, err := Resolve(ctx, server, name, "A", false, 0)
			if err != nil {
				return err
			}
			if ctx.Err() != nil {
				return nil
			}
			is := Sight{At: time.Now(), Name: name, Rcode: r.Rcode, Answers: r.Answers, Err: r.Err}
			was, seen := last[name]
			if seen && was.Rcode == is.Rcode && was.Err == is.Err && slices.Equal(was.Answers, is.Answers) {
				continue
			}
			last[name] = is
			if err := enc.Encode(is); err != nil {
				return err // the reader went away
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
