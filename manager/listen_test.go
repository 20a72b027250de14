package manager

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// Neither end of a connection to the API sends larger segments than get through everywhere.
func TestSegmentsAreSmall(t *testing.T) {
	l, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for name, c := range map[string]net.Conn{"client": client, "server": server} {
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var mss int
		if cerr := raw.Control(func(fd uintptr) { mss, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG) }); cerr != nil || err != nil {
			t.Fatal(cerr, err)
		}
		if mss > segment || mss < segment-20 { // options take some
			t.Errorf("the %s sends segments of %d, want at most %d", name, mss, segment)
		}
	}
}
