package agent

import (
	"net"
	"os"
	"testing"

	"github.com/swarmnet/swarmnet"
)

func TestListensSeesSocketsOfAProcess(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		if u, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	defer u.Close()
	tcp, udp := uint16(l.Addr().(*net.TCPAddr).Port), uint16(u.LocalAddr().(*net.UDPAddr).Port)
	ports := []swarmnet.PortSpec{{Protocol: swarmnet.TCP, Target: tcp}, {Protocol: swarmnet.UDP, Target: udp}}
	if !listensOnAll(os.Getpid(), ports) {
		t.Errorf("the sockets on tcp %d and udp %d are not seen", tcp, udp)
	}
	l.Close()
	if listensOnAll(os.Getpid(), ports) {
		t.Errorf("tcp %d is still seen after it was closed", tcp)
	}
	if listens(-1, swarmnet.TCP, tcp) {
		t.Error("a process that is gone is given connections")
	}
}
