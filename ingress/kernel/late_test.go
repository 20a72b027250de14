package kernel

import (
	"net"
	"testing"

	"github.com/swarmnet/swarmnet"
)

// moby#8795: a client of datagrams moves to a living task at once, also when a last answer of the one that goes comes after its flow has been deleted, as
// it may. That answer looks like a question of the task's own to the client; it must not take up the address and port that the client asks.
func TestKernelConformanceS17ALateAnswerHoldsNobodyBack(t *testing.T) {
	overBalancers(t, func(t *testing.T, newCluster makeCluster) {
		c := newCluster(t, 2)
		c.service("dns", "10.0.1.200", swarmnet.PortSpec{Protocol: swarmnet.UDP, Published: 53, Target: 53, Mode: swarmnet.PublishIngress})
		goes := c.task("dns", "goes", 0, "app", "10.0.1.11")
		var pc net.PacketConn
		goes.Do(func() (err error) { pc, err = net.ListenPacket("udp4", ":53"); return err })
		defer pc.Close()
		const from = ":40000"
		to := c.nodes[0].under.String() + ":53"
		client, err := dial(c.outside, "udp", from, to)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if _, err := client.Write([]byte("hello\n")); err != nil {
			t.Fatal(err)
		}
		_, saw, err := pc.ReadFrom(make([]byte, 64))
		if err != nil {
			t.Fatal(err)
		}
		serve(t, c.task("dns", "stays", 1, "app", "10.0.1.12"), "stays", 53)
		c.desire("goes", swarmnet.DesireShutdown)
		c.apply()
		if _, err := pc.WriteTo([]byte("goes answers late\n"), saw); err != nil {
			t.Fatal(err)
		}
		name, _, err := say(client)
		if name != "stays" {
			t.Errorf("%q answers: %v", name, err)
		}
	})
}
