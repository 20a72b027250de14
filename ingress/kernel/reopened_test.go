package kernel

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/kerneltest"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// onOneCPU keeps the test and what its packets have the kernel do on one processor: there the kernel gives what was freed last to whoever asks
// next.
func onOneCPU(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.SchedSetaffinity(0, &all); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	})
}

// S17: while the flows of a task that has gone are being deleted, clients come again from the same ports and are led to another task. Those
// connections are in the same memory of the kernel as the old ones, and so under the same numbers: they are not to be deleted in their place.
func TestKernelConformanceS17DeletingFlowsSparesConnectionsFromTheSamePorts(t *testing.T) {
	overBalancers(t, func(t *testing.T, newCluster makeCluster) {
		c := newCluster(t, 1)
		c.service("web", "10.0.1.200", swarmnet.PortSpec{Protocol: swarmnet.TCP, Published: 8080, Target: 80, Mode: swarmnet.PublishIngress})
		first, entry := c.task("web", "first", 0, "app", "10.0.1.11"), c.nodes[0]
		listen := func(ns *kerneltest.NS) (l net.Listener) {
			ns.Do(func() (err error) { l, err = net.Listen("tcp4", ":80"); return err })
			t.Cleanup(func() { l.Close() })
			return l
		}
		onOneCPU(t)
		const clients = 16
		open := func(l net.Listener, port int) (client, server net.Conn) {
			client, err := dial(c.outside, "tcp", fmt.Sprintf(":%d", port), entry.under.String()+":8080")
			if err != nil {
				t.Fatal(err)
			}
			if server, err = l.Accept(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { client.Close(); server.Close() })
			return client, server
		}
		l := listen(first)
		for i := range clients { // the task closes, so that the client's ports are free at once
			client, server := open(l, 40000+i)
			server.Close()
			if n, err := client.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Fatal(n, err)
			}
			client.Close()
		}
		second := c.task("web", "second", 0, "app", "10.0.1.12")
		l = listen(second)
		c.remove("first")
		inside, _ := inFabric(entry.wanted().Ports)
		if _, err := entry.mesh.cfg.Balancer.Ports(context.Background(), entry.fabric.Path(), entry.mesh.cfg.FabricAddrs, inside); err != nil {
			t.Fatal(err)
		}
		var clientSides, serverSides []net.Conn
		stale := staleInFabric(entry.mesh.cfg, entry.wanted())
		if _, err := deleteFlows(entry.fabric.Path(), func(f nl.Flow) bool {
			if !stale(f) {
				return false
			}
			client, server := open(l, int(f.Src.Port()))
			clientSides, serverSides = append(clientSides, client), append(serverSides, server)
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if len(clientSides) != clients {
			t.Fatalf("%d flows led to the task that is gone, want %d", len(clientSides), clients)
		}
		for i, server := range serverSides { // nobody else says anything: what the client sent would make another flow
			client := clientSides[i]
			_, err := server.Write([]byte("!"))
			if err == nil {
				err = client.SetDeadline(time.Now().Add(patience))
			}
			if err == nil {
				_, err = client.Read(make([]byte, 1))
			}
			if err != nil {
				t.Errorf("the answer to the client at %s does not arrive: its connection's flow has been deleted: %v", client.LocalAddr(), err)
			}
		}
	})
}
