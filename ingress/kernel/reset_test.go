package kernel

import (
	"net"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// S17: a sandbox whose connection to a virtual address was reset by the task comes again from the same port, as a busy one does within milliseconds,
// while that task drains: it is led to another one. Connection tracking would take it where the old connection led.
func TestKernelConformanceS17AResetConnectionIsNotGoneOnWith(t *testing.T) {
	overBalancers(t, func(t *testing.T, newCluster makeCluster) {
		c := newCluster(t, 2)
		c.service("web", "10.0.1.200")
		c.service("client", "10.0.1.201")
		client := c.task("client", "client", 0, "app", "10.0.1.21")
		client.With(func(conn *nl.Conn) error { return conn.Sysctl(nl.ForgetResetTCP[0], nl.ForgetResetTCP[1]) }) // as package sandbox does
		drains := c.task("web", "drains", 1, "app", "10.0.1.11")
		c.balance(0, "client", client)
		const from, to = ":40000", "10.0.1.200:80"
		var l net.Listener
		drains.Do(func() (err error) { l, err = net.Listen("tcp4", ":80"); return err })
		defer l.Close()
		conn, err := dial(client, "tcp", from, to)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := server.(*net.TCPConn).SetLinger(0); err != nil { // Close resets
			t.Fatal(err)
		}
		server.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Fatal(n, err)
		}
		conn.Close()
		serve(t, c.task("web", "stays", 1, "app", "10.0.1.12"), "stays", 80)
		c.desire("drains", swarmnet.DesireDraining)
		c.apply()
		c.balance(0, "client", client)
		l.Close() // who comes here is refused
		if name, _ := askFrom(t, client, "tcp", from, to); name != "stays" {
			t.Errorf("%s answers", name)
		}
	})
}
