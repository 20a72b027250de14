package probe

import (
	"fmt"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

// way is how far a request came, and over which connection: what whoever looks for the cause of a failure wants to know. The transport may go on
// with it when the request has long failed.
type way struct {
	mu    sync.Mutex
	began time.Time
	steps []string
}

func (w *way) step(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.began.IsZero() {
		w.began = time.Now()
	}
	w.steps = append(w.steps, fmt.Sprintf(format+" (%v)", append(args, time.Since(w.began).Round(time.Millisecond))...))
}

func (w *way) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.steps, ", ")
}

func (w *way) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		ConnectStart:         func(_, addr string) { w.step("connecting to %s", addr) },
		GotConn:              func(i httptrace.GotConnInfo) { w.step("connected from %s, kept: %t", i.Conn.LocalAddr(), i.Reused) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { w.step("asked") },
		GotFirstResponseByte: func() { w.step("answered") },
	}
}
