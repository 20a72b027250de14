package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/swarmnet/swarmnet/internal/netns"
)

// dnsResult is one load on a resolver: answers, and what half of them and 99 of 100 took, in milliseconds.
type dnsResult struct {
	Answers  int
	P50, P99 float64
}

// inFlight is how many queries a load without a rate keeps under way.
const inFlight = 32

// askForNames asks the resolver of the sandbox at -netns for a name for a while: -rate times a second, or as fast as answers come.
func askForNames(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("names", flag.ContinueOnError)
	ns := fs.String("netns", "", "")
	rate := fs.Int("rate", 0, "")
	span := fs.Duration("span", dnsSpan, "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	var conn net.Conn
	if err := netns.Do(*ns, func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "udp", "127.0.0.11:53")
		return err
	}); err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	query, err := new(dns.Msg).SetQuestion(dns.Fqdn(fs.Arg(0)), dns.TypeA).Pack()
	if err != nil {
		return err
	}
	l := &dnsLoad{conn: conn, query: query, buf: make([]byte, 4096)}
	until := time.Now().Add(*span)
	if *rate > 0 {
		err = l.paced(time.Second/time.Duration(*rate), until)
	} else {
		err = l.flat(until)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(l.result())
}

// dnsLoad sends one query again and again, each with an id of its own.
type dnsLoad struct {
	conn  net.Conn
	query []byte
	buf   []byte
	sent  [1 << 16]time.Time // by id
	next  uint16
	took  []time.Duration
}

func (l *dnsLoad) send() error {
	binary.BigEndian.PutUint16(l.query, l.next)
	l.sent[l.next] = time.Now()
	l.next++
	_, err := l.conn.Write(l.query)
	return err
}

// receive takes one reply; none comes before the deadline: false.
func (l *dnsLoad) receive(deadline time.Time) (bool, error) {
	if err := l.conn.SetReadDeadline(deadline); err != nil {
		return false, err
	}
	n, err := l.conn.Read(l.buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if n > 2 {
		l.took = append(l.took, time.Since(l.sent[binary.BigEndian.Uint16(l.buf)]))
	}
	return true, nil
}

// flat keeps some queries under way. When none is answered, those are taken for lost.
func (l *dnsLoad) flat(until time.Time) error {
	for time.Now().Before(until) {
		for range inFlight {
			if err := l.send(); err != nil {
				return err
			}
		}
		for {
			got, err := l.receive(time.Now().Add(50 * time.Millisecond))
			if err != nil {
				return err
			}
			if !got || !time.Now().Before(until) {
				break
			}
			if err := l.send(); err != nil {
				return err
			}
		}
	}
	return nil
}

// paced sends a query each period, whatever has become of those before.
func (l *dnsLoad) paced(period time.Duration, until time.Time) error {
	for due := time.Now(); due.Before(until); due = due.Add(period) {
		if err := l.send(); err != nil {
			return err
		}
		for time.Now().Before(due.Add(period)) {
			if _, err := l.receive(due.Add(period)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *dnsLoad) result() dnsResult {
	if len(l.took) == 0 {
		return dnsResult{}
	}
	slices.Sort(l.took)
	at := func(part float64) float64 {
		return float64(l.took[int(part*float64(len(l.took)-1))]) / float64(time.Millisecond)
	}
	return dnsResult{Answers: len(l.took), P50: at(0.5), P99: at(0.99)}
}
