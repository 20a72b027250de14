package whoami

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func start(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, udp, Answer{Task: "web.1", Node: "n1"}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

func get(t *testing.T, url string) (*http.Response, []byte) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

func TestHTTP(t *testing.T) {
	addr := start(t)
	_, b := get(t, "http://"+addr+"/json")
	var a Answer
	if err := json.Unmarshal(b, &a); err != nil {
		t.Fatal(err)
	}
	if a.Task != "web.1" || a.Node != "n1" || !strings.HasPrefix(a.Client, "127.0.0.1:") || a.Local != addr {
		t.Errorf("answer %+v", a)
	}
	if _, b := get(t, "http://"+addr+"/"); !strings.Contains(string(b), "task=web.1 node=n1") {
		t.Errorf("text answer %q", b)
	}
	if n, err := Check(bytes.NewReader(second(get(t, "http://"+addr+"/bytes/1000003")))); n != 1000003 || err != nil {
		t.Errorf("bytes: %d %v", n, err)
	}
	if resp, _ := get(t, "http://"+addr+"/bytes/-1"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("bytes/-1: %s", resp.Status)
	}
}

func second[A, B any](_ A, b B) B { return b }

func TestUDP(t *testing.T) {
	conn, err := net.Dial("udp", start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2048)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	var a Answer
	if err := json.Unmarshal(b[:n], &a); err != nil || a.Client != conn.LocalAddr().String() {
		t.Errorf("answer %s (%v), want client %s", b[:n], err, conn.LocalAddr())
	}
}

// However it is cut into reads, the stream is the same, and one wrong octet is found where it is.
func TestPattern(t *testing.T) {
	whole := make([]byte, 4099)
	if _, err := io.ReadFull(Pattern(), whole); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		p, got := Pattern(), []byte{}
		for len(got) < len(whole) {
			b := make([]byte, rapid.IntRange(1, 50).Draw(t, "read"))
			n, _ := p.Read(b)
			got = append(got, b[:n]...)
		}
		if !bytes.Equal(got[:len(whole)], whole) {
			t.Fatal("the stream depends on the reads")
		}
		bad := bytes.Clone(whole)
		at := rapid.IntRange(0, len(bad)-1).Draw(t, "at")
		bad[at] ^= 0x10
		if n, err := Check(bytes.NewReader(bad)); err == nil || n != int64(at) {
			t.Fatalf("octet %d is wrong, Check says %d %v", at, n, err)
		}
	})
}

// A server that is told to end answers what comes over the connections that it has, and says that they end.
func TestEndsWithoutFailingARequest(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, udp, Answer{}) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	ask := func() *http.Response {
		t.Helper()
		if _, err := io.WriteString(conn, "GET /bytes/5 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); err != nil || len(b) != 5 {
			t.Fatalf("%d octets, %v", len(b), err)
		}
		return resp
	}
	if ask().Close {
		t.Error("a connection is not kept")
	}
	cancel()
	for !ask().Close { // until the server has heard of it
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A connection that waits to be accepted when the server is told to end is served, too.
func TestBacklogIsServed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if n := backlog(l); n != 0 {
		t.Fatalf("%d connections wait before there is one", n)
	}
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n := backlog(l); n != 1 {
		t.Fatalf("%d connections wait, there is one", n)
	}
	udp, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // before it has accepted anything
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, udp, Answer{}) }()
	if _, err := io.WriteString(conn, "GET /bytes/5 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || len(b) != 5 {
		t.Errorf("%d octets, %v", len(b), err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
