package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

// Tally counts requests of one sort.
type Tally struct {
	Requests int       `json:"requests"`
	Failed   int       `json:"failed"`
	First    string    `json:"first,omitempty"` // the first failure
	FirstAt  time.Time `json:"firstAt"`
}

// Tallies counts what many clients have asked at once: over connections that are kept, and over a new one for each request.
type Tallies struct {
	Kept Tally `json:"kept"`
	New  Tally `json:"new"`
}

// floodPeriod is how often the tallies are written.
const floodPeriod = 100 * time.Millisecond

// Flood has many clients at once ask whoamis at the URLs in turn, every other client over connections that it keeps, one a URL, until ctx ends.
// rate is that of all requests a second; 0: each client asks again as soon as it has its answer. It writes the Tallies so far as a line of JSON, again and again. Nothing is asked twice: what is kept
// alive is asked by POST, which net/http repeats only if nothing of it was sent.
func Flood(ctx context.Context, w io.Writer, urls []string, parallel int, rate float64, timeout time.Duration) error {
	if rate < 0 || len(urls) == 0 || parallel < 2 {
		return fmt.Errorf("a rate that is not negative, a URL and two clients at least are wanted")
	}
	var (
		mu  sync.Mutex
		all Tallies
		wg  sync.WaitGroup
	)
	count := func(t *Tally, url string, err error) {
		mu.Lock()
		defer mu.Unlock()
		t.Requests++
		if err == nil {
			return
		}
		if t.Failed++; t.Failed == 1 {
			t.First, t.FirstAt = fmt.Sprintf("%s: %v", url, err), time.Now()
		}
	}
	pause := time.Nanosecond
	if rate > 0 {
		pause = max(pause, time.Duration(float64(parallel)/rate*float64(time.Second)))
	}
	for i := range parallel {
		wg.Go(func() {
			c, ask, t := client(timeout, 0), askNew, &all.New
			if i%2 == 0 {
				c.Transport.(*http.Transport).DisableKeepAlives = false
				ask, t = askKept, &all.Kept
				defer c.CloseIdleConnections()
			}
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for n := i; ; n++ {
				url := urls[n%len(urls)]
				err := traced(context.WithoutCancel(ctx), c, strings.TrimSuffix(url, "/"), ask) // the last one may end
				count(t, url, err)
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
	enc := json.NewEncoder(w)
	tell := func() error {
		mu.Lock()
		now := all
		mu.Unlock()
		return enc.Encode(now)
	}
	tick := time.NewTicker(floodPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			wg.Wait()
			return tell()
		case <-tick.C:
			if err := tell(); err != nil {
				return err // the reader went away
			}
		}
	}
}

// traced asks, and says of a failed request over which connection it went and how far it came.
func traced(ctx context.Context, c *http.Client, url string, ask func(context.Context, *http.Client, string) error) error {
	var way way
	if err := ask(httptrace.WithClientTrace(ctx, way.trace()), c, url); err != nil {
		return fmt.Errorf("%w; %s", err, &way)
	}
	return nil
}

func askNew(ctx context.Context, c *http.Client, url string) error {
	if r := Ask(ctx, c, url); r.Err != "" {
		return fmt.Errorf("%s (after %v)", r.Err, r.Took.Round(time.Millisecond))
	}
	return nil
}

func askKept(ctx context.Context, c *http.Client, url string) error {
	const question = "who are you?"
	began := time.Now()
	err := func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/echo", strings.NewReader(question))
		if err != nil {
			return err
		}
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err == nil && (resp.StatusCode != http.StatusOK || string(b) != question) {
			err = fmt.Errorf("status %s, %q", resp.Status, b)
		}
		return err
	}()
	if err != nil {
		return fmt.Errorf("%w (after %v)", err, time.Since(began).Round(time.Millisecond))
	}
	return nil
}
