package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// probeAll asks every URL again and again, each over a new connection, until each has answered once, and prints when the last did (Unix
// nanoseconds: all nodes of a lab share one clock). With -gone it waits until none answers.
func probeAll(ctx context.Context, urls []string, out io.Writer) error {
	gone := len(urls) > 0 && urls[0] == "-gone"
	if gone {
		urls = urls[1:]
	}
	fmt.Fprintln(out, "ready")
	client := &http.Client{
		Timeout:   time.Second,
		Transport: &http.Transport{DisableKeepAlives: true},
	}
	var wg sync.WaitGroup
	for _, u := range urls {
		wg.Go(func() {
			for ctx.Err() == nil {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
				if err != nil {
					return
				}
				resp, err := client.Do(req)
				if err == nil {
					resp.Body.Close()
				}
				if answered := err == nil && resp.StatusCode == http.StatusOK; answered != gone {
					return
				}
				select {
				case <-time.After(5 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return json.NewEncoder(out).Encode(time.Now().UnixNano())
}
