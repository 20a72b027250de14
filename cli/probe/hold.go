package probe

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Hold keeps count connections to a whoami, asks over each at once and then every so often, and writes each Reply as a line of JSON, until ctx
// ends. That a connection was kept shows in the client's port that the server saw. Nothing is sent between two requests.
func Hold(ctx context.Context, w io.Writer, url string, count int, every, timeout time.Duration) error {
	var (
		mu  sync.Mutex
		wg  sync.WaitGroup
		enc = json.NewEncoder(w)
	)
	defer wg.Wait()
	for range count {
		wg.Go(func() {
			d := &net.Dialer{Timeout: timeout, KeepAlive: -1}
			c := &http.Client{Timeout: timeout, Transport: &http.Transport{DialContext: d.DialContext}}
			defer c.CloseIdleConnections()
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				r := Ask(context.WithoutCancel(ctx), c, url)
				mu.Lock()
				enc.Encode(r) //nolint:errcheck // the reader went away
				mu.Unlock()
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
	return nil
}
