package kernel

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
)

// S17: a client whose connection was reset by the task comes again from the same port, as a busy one does within milliseconds, while that task drains:
// it is led to another one. Connection tracking would take it where the old connection led. This is so for a local task and a remote one.
func TestKernelConformanceS17AResetConnectionIsNotGoneOnWith(t *testing.T) {
	overBalancers(t, func(t *testing.T, newCluster makeCluster) {
		c := newCluster(t, 2)
		c.service("web", "10.0.1.200", web(swarmnet.PublishIngress)...)
		drains := c.task("web", "drains", 1, "app", "10.0.1.11")
		var l net.Listener
		drains.Do(func() (err error) { l, err = net.Listen("tcp4", ":80"); return err })
		defer l.Close()
		from := func(entry int) string { return fmt.Sprintf(":%d", 40000+entry) }
		for entry, n := range c.nodes {
			client, err := dial(c.outside, "tcp", from(entry), n.under.String()+":8080")
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			server, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if err := server.(*net.TCPConn).SetLinger(0); err != nil { // Close resets
				t.Fatal(err)
			}
			server.Close()
			if err := client.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			if n, err := client.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Fatal(n, err)
			}
			client.Close()
		}
		serve(t, c.task("web", "stays", 1, "app", "10.0.1.12"), "stays", 80)
		c.desire("drains", swarmnet.DesireDraining)
		c.apply()
		l.Close() // who comes here is refused
		for entry, n := range c.nodes {
			if name, _ := askFrom(t, c.outside, "tcp", from(entry), n.under.String()+":8080"); name != "stays" {
				t.Errorf("through node %d: %s answers", entry, name)
			}
		}
	})
}
