// Package probe asks and measures from where it runs: a node of the lab, or a sandbox. The demo and the end-to-end tests are its callers,
// through the hidden command `swarmnet probe`. Results are JSON.
package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/cli/whoami"
)

// Reply is the outcome of one request.
type Reply struct {
	At     time.Time     `json:"at"`
	Took   time.Duration `json:"took"`
	URL    string        `json:"url"`
	Err    string        `json:"err,omitempty"`
	Answer whoami.Answer `json:"answer"`
}

// client makes a client that opens a new connection for every request, from a given local port unless it is 0.
func client(timeout time.Duration, localPort int) *http.Client {
	d := &net.Dialer{Timeout: timeout}
	if localPort != 0 {
		d.LocalAddr = &net.TCPAddr{Port: localPort}
		d.Control = func(_, _ string, c syscall.RawConn) error { return c.Control(reuse) }
	}
	return &http.Client{Timeout: timeout, Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}}
}

// reuse lets one local port be used towards several servers at once.
func reuse(fd uintptr) {
	unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) //nolint:errcheck // the bind that follows tells
	unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) //nolint:errcheck // the bind that follows tells
}

// Ask asks one whoami.
func Ask(ctx context.Context, c *http.Client, url string) Reply {
	r := Reply{At: time.Now(), URL: url}
	err := func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+"/json", nil)
		if err != nil {
			return err
		}
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %s", resp.Status)
		}
		return json.NewDecoder(resp.Body).Decode(&r.Answer)
	}()
	if err != nil {
		r.Err = err.Error()
	}
	r.Took = time.Since(r.At)
	return r
}

// Repeat asks each URL in turn, count requests in all, each over a connection of its own.
func Repeat(ctx context.Context, urls []string, count int, timeout time.Duration) []Reply {
	c := client(timeout, 0)
	out := make([]Reply, 0, count)
	for i := range count {
		out = append(out, Ask(ctx, c, urls[i%len(urls)]))
	}
	return out
}

// Download is the outcome of fetching a whoami's /bytes/N.
type Download struct {
	Octets int64         `json:"octets"`
	Took   time.Duration `json:"took"`
	Task   string        `json:"task"`
	Node   string        `json:"node"`
	Err    string        `json:"err,omitempty"`
}

// Fetch downloads url, which is a whoami's /bytes/N, at no more than rate octets a second (0: as fast as it comes), and checks it octet by octet.
func Fetch(ctx context.Context, url string, want, rate int64) (d Download) {
	start := time.Now()
	defer func() { d.Took = time.Since(start) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		d.Err = err.Error()
		return d
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		d.Err = err.Error()
		return d
	}
	defer resp.Body.Close()
	d.Task, d.Node = resp.Header.Get("Swarmnet-Task"), resp.Header.Get("Swarmnet-Node")
	d.Octets, err = whoami.Check(&paced{r: resp.Body, rate: rate, start: start})
	switch {
	case err != nil:
		d.Err = err.Error()
	case d.Octets != want:
		d.Err = fmt.Sprintf("%d octets came, %d were asked for", d.Octets, want)
	}
	return d
}

// paced reads no faster than rate.
type paced struct {
	r     io.Reader
	rate  int64
	start time.Time
	n     int64
}

func (p *paced) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	if p.rate > 0 {
		due := p.start.Add(time.Duration(float64(p.n) / float64(p.rate) * float64(time.Second)))
		time.Sleep(time.Until(due))
	}
	return n, err
}

// Lookup resolves a name as the sandbox's resolver configuration says. network is ip, ip4 or ip6; empty: ip4.
func Lookup(ctx context.Context, network, name string) ([]netip.Addr, error) {
	if network == "" {
		network = "ip4"
	}
	return net.DefaultResolver.LookupNetIP(ctx, network, name)
}

// Get copies what a URL gives; another status than 200 is an error.
func Get(ctx context.Context, w io.Writer, url string, timeout time.Duration) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client(timeout, 0).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers with status %s", url, resp.Status)
	}
	_, err = io.Copy(w, resp.Body)
	return err
}
