package hostport

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/swarmnet/swarmnet"
)

// TestFind has this test hold ports, and looks for them.
func TestFind(t *testing.T) {
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", ":0") // both families
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcpPort, udpPort := tcp.Addr().(*net.TCPAddr).AddrPort().Port(), udp.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	for _, f := range []struct {
		proto swarmnet.Protocol
		addr  string
		port  uint16
		bound bool
	}{
		{swarmnet.TCP, "127.0.0.1", tcpPort, true},
		{swarmnet.TCP, "", tcpPort, true},
		{swarmnet.TCP, "0.0.0.0", tcpPort, true},
		{swarmnet.TCP, "127.0.0.2", tcpPort, false},
		{swarmnet.TCP, "::1", tcpPort, false},
		{swarmnet.UDP, "127.0.0.1", udpPort, true},
		{swarmnet.UDP, "::1", udpPort, true},
		{swarmnet.SCTP, "", tcpPort, false},
	} {
		addr, _ := netip.ParseAddr(f.addr)
		who, bound := Find(f.proto, addr, f.port)
		if bound != f.bound || bound && who.PID != os.Getpid() {
			t.Errorf("%s %s %d: %v %v, want %v by pid %d", f.proto, f.addr, f.port, who, bound, f.bound, os.Getpid())
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0 100 0 0 10 0")
	f.Add("   0: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 0 0 0 0 0 99 2 0 0")
	f.Add("  sl  local_address")
	f.Fuzz(func(t *testing.T, line string) {
		if s, ok := parse(line); ok && !s.addr.IsValid() {
			t.Errorf("%q: %+v", line, s)
		}
	})
}
