// Package whoami is the tiny server of `swarmnet whoami`: it answers with the task and node that it runs in and with the client address
// that it sees, over HTTP and, on the same port, over UDP.
package whoami

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Answer is what the server says of itself and of its client.
type Answer struct {
	Service  string   `json:"service"`
	Task     string   `json:"task"`
	Node     string   `json:"node"`
	Hostname string   `json:"hostname"`
	Client   string   `json:"client"` // ADDRESS:PORT, as seen here
	Local    string   `json:"local"`  // ADDRESS:PORT that the client reached
	Addrs    []string `json:"addresses"`
}

// Identity is what a task's environment says of it: the agent sets SWARMNET_TASK, SWARMNET_NODE and SWARMNET_SERVICE.
func Identity(getenv func(string) string) Answer {
	host, _ := os.Hostname() //nolint:errcheck // an answer without a hostname is still one
	return Answer{Service: getenv("SWARMNET_SERVICE"), Task: getenv("SWARMNET_TASK"), Node: getenv("SWARMNET_NODE"), Hostname: host}
}

func (a Answer) String() string {
	return fmt.Sprintf("service=%s task=%s node=%s hostname=%s client=%s local=%s addresses=%s\n",
		a.Service, a.Task, a.Node, a.Hostname, a.Client, a.Local, strings.Join(a.Addrs, ","))
}

// Run serves on a port until ctx ends.
func Run(ctx context.Context, port int, self Answer) error {
	addr := net.JoinHostPort("", strconv.Itoa(port))
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("cannot listen on port %d: %w", port, err)
	}
	udp, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		l.Close()
		return fmt.Errorf("cannot listen on UDP port %d: %w", port, err)
	}
	return Serve(ctx, l, udp, self)
}

// Serve is Run on given sockets, which it closes. When ctx ends no request that was begun fails: see closing.
func Serve(ctx context.Context, l net.Listener, udp net.PacketConn, self Answer) error {
	g, ctx := errgroup.WithContext(ctx)
	c := newClosing(l)
	server := &http.Server{Handler: c.wrap(Handler(self)), ConnState: c.changed, ReadHeaderTimeout: 10 * time.Second}
	g.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error { return echoUDP(ctx, udp, self) })
	g.Go(func() error {
		<-ctx.Done()
		c.wait()
		return errors.Join(server.Shutdown(context.Background()), udp.Close())
	})
	return g.Wait()
}

func echoUDP(ctx context.Context, conn net.PacketConn, self Answer) error {
	b := make([]byte, 2048)
	for {
		_, from, err := conn.ReadFrom(b)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		a := self.to(from.String(), conn.LocalAddr().String())
		line, err := json.Marshal(a)
		if err != nil {
			return err
		}
		conn.WriteTo(append(line, '\n'), from) //nolint:errcheck // a client that is gone is no concern
	}
}

func (a Answer) to(client, local string) Answer {
	a.Client, a.Local = unmap(client), unmap(local)
	addrs, _ := net.InterfaceAddrs() //nolint:errcheck // an answer without them is still one
	for _, ia := range addrs {
		if p, err := netip.ParsePrefix(ia.String()); err == nil && p.Addr().IsGlobalUnicast() {
			a.Addrs = append(a.Addrs, p.Addr().String())
		}
	}
	return a
}

// unmap writes an IPv4 address as such where the socket serves both families.
func unmap(s string) string {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()).String()
	}
	return s
}

// Handler answers / in text, /json, /bytes/N with the first N octets of Pattern, and /echo with the request's body.
func Handler(self Answer) http.Handler {
	mux := http.NewServeMux()
	answer := func(r *http.Request) Answer {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		return self.to(r.RemoteAddr, fmt.Sprint(local))
	}
	mux.HandleFunc("GET /json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(answer(r)) //nolint:errcheck // the client went away
	})
	mux.HandleFunc("GET /bytes/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
		if err != nil || n < 0 {
			http.Error(w, fmt.Sprintf("%q is not a number of octets", r.PathValue("n")), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		w.Header().Set("Content-Type", "application/octet-stream")
		a := answer(r)
		w.Header().Set("Swarmnet-Task", a.Task)
		w.Header().Set("Swarmnet-Node", a.Node)
		io.CopyN(w, Pattern(), n) //nolint:errcheck // the client went away
	})
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body) //nolint:errcheck // the client went away
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, answer(r)) //nolint:errcheck // the client went away
	})
	return mux
}
