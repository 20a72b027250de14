package nl

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
)

// What is written for the kernel reads back the same; whatever the kernel may write, reading it does not fail badly.
func FuzzEntry(f *testing.F) {
	for _, n := range []Neigh{
		{Index: 7, MAC: swarmnet.MAC{2, 0x42, 10, 0, 0, 1}, Addr: netip.MustParseAddr("10.0.0.1")},
		{Index: 7, MAC: swarmnet.MAC{2, 0x42, 10, 0, 0, 1}, Addr: netip.MustParseAddr("fd00::1")},
		{Index: 9, MAC: swarmnet.MAC{2, 0x42, 10, 0, 0, 1}, VTEP: netip.MustParseAddr("192.0.2.1")},
		{Index: 9, MAC: swarmnet.MAC{2, 0x42, 10, 0, 0, 1}},
	} {
		msg := appendNeigh(nil, n, unix.RTM_NEWNEIGH, 0, 1)[unix.NLMSG_HDRLEN:]
		e, ok := parseEntry(msg)
		addr := n.Addr
		if n.VTEP.IsValid() {
			addr = n.VTEP
		}
		if !ok || e.index != n.Index || e.mac != n.MAC || e.addr != addr {
			f.Fatalf("%s reads back as %+v", n, e)
		}
		f.Add(msg)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, ok := parseEntry(b)
		if ok && e.mac.IsZero() && len(b) < unix.SizeofNdMsg+10 {
			t.Errorf("a MAC was found where none can be: %+v", e)
		}
	})
}
