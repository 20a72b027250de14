package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Load asks the URLs in turn at a steady rate, whatever becomes of earlier requests, and writes each Reply as a line of JSON, until ctx ends.
// It returns when every request has ended.
func Load(ctx context.Context, w io.Writer, urls []string, rate float64, timeout time.Duration) error {
	if rate <= 0 || len(urls) == 0 {
		return fmt.Errorf("a rate above 0 and a URL are wanted")
	}
	var (
		mu  sync.Mutex
		wg  sync.WaitGroup
		enc = json.NewEncoder(w)
		c   = client(timeout, 0)
	)
	defer wg.Wait()
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		url := urls[i%len(urls)]
		wg.Go(func() {
			r := Ask(context.WithoutCancel(ctx), c, url) // the last ones may end
			mu.Lock()
			defer mu.Unlock()
			enc.Encode(r) //nolint:errcheck // the reader went away
		})
	}
}

// SamePort holds connections to all URLs from one local port at once, asks over each, and again over each while all are open.
func SamePort(ctx context.Context, urls []string, port int, timeout time.Duration) []Reply {
	clients := make([]*http.Client, len(urls))
	for i := range urls {
		clients[i] = client(timeout, port)
		clients[i].Transport.(*http.Transport).DisableKeepAlives = false
		defer clients[i].CloseIdleConnections()
	}
	var out []Reply
	for range 3 {
		for i, u := range urls {
			out = append(out, Ask(ctx, clients[i], u))
		}
	}
	return out
}

// AskUDP sends one datagram to a whoami's UDP port, from a local port (0: any).
func AskUDP(ctx context.Context, addr string, localPort int, timeout time.Duration) Reply {
	r := Reply{At: time.Now(), URL: addr}
	err := func() error {
		d := net.Dialer{Timeout: timeout, LocalAddr: &net.UDPAddr{Port: localPort}}
		conn, err := d.DialContext(ctx, "udp", addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		if _, err := conn.Write([]byte("who are you?")); err != nil {
			return err
		}
		b := make([]byte, 2048)
		n, err := conn.Read(b)
		if err != nil {
			return err
		}
		return json.Unmarshal(b[:n], &r.Answer)
	}()
	if err != nil {
		r.Err = err.Error()
	}
	r.Took = time.Since(r.At)
	return r
}
