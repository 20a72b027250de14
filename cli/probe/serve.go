package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Serve lets others probe from where this process runs: GET /ask?url=…&count=N, /lookup?name=…&network=ip6, /fetch?url=…&octets=N.
func Serve(ctx context.Context, port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("cannot listen on port %d: %w", port, err)
	}
	server := &http.Server{Handler: handler(), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Looked is the outcome of a lookup.
type Looked struct {
	Addrs []string `json:"addrs"`
	Err   string   `json:"err,omitempty"`
}

// Look is Lookup with its outcome as a value, the addresses in the order in which they came.
func Look(ctx context.Context, network, name string) Looked {
	addrs, err := Lookup(ctx, network, name)
	out := Looked{Addrs: []string{}}
	for _, a := range addrs {
		out.Addrs = append(out.Addrs, a.Unmap().String())
	}
	if err != nil {
		out.Err = err.Error()
	}
	return out
}

func handler() http.Handler {
	mux := http.NewServeMux()
	number := func(r *http.Request, key string) int64 {
		n, err := strconv.ParseInt(r.FormValue(key), 10, 64)
		if err != nil || n < 1 {
			return 1
		}
		return n
	}
	write := func(w http.ResponseWriter, v any) {
		json.NewEncoder(w).Encode(v) //nolint:errcheck // the client went away
	}
	mux.HandleFunc("GET /ask", func(w http.ResponseWriter, r *http.Request) {
		write(w, Repeat(r.Context(), r.URL.Query()["url"], int(number(r, "count")), 5*time.Second))
	})
	mux.HandleFunc("GET /lookup", func(w http.ResponseWriter, r *http.Request) {
		write(w, Look(r.Context(), r.FormValue("network"), r.FormValue("name")))
	})
	mux.HandleFunc("GET /fetch", func(w http.ResponseWriter, r *http.Request) {
		write(w, Fetch(r.Context(), r.FormValue("url"), number(r, "octets"), 0))
	})
	return mux
}
