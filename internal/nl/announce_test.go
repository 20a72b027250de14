package nl

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/mdlayher/ndp"

	"github.com/swarmnet/swarmnet"
)

func TestGratuitousARP(t *testing.T) {
	mac := swarmnet.MAC{2, 0x42, 10, 0, 0, 5}
	want := []byte{
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0x42, 10, 0, 0, 5, 8, 6,
		0, 1, 8, 0, 6, 4, 0, 1, 2, 0x42, 10, 0, 0, 5, 10, 0, 0, 5, 0, 0, 0, 0, 0, 0, 10, 0, 0, 5,
	}
	if got, err := announcement(mac, netip.MustParseAddr("10.0.0.5")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x: %v", got, want, err)
	}
}

func TestUnsolicitedNA(t *testing.T) {
	mac, addr := swarmnet.MAC{2, 0x43, 1, 2, 3, 4}, netip.MustParseAddr("fd00::5")
	got, err := announcement(mac, addr)
	if err != nil {
		t.Fatal(err)
	}
	head := []byte{0x33, 0x33, 0, 0, 0, 1, 2, 0x43, 1, 2, 3, 4, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255}
	if !bytes.HasPrefix(got, head) || !bytes.Equal(got[22:38], addr.AsSlice()) || !bytes.Equal(got[38:54], allNodes.AsSlice()) {
		t.Errorf("head %x", got[:54])
	}
	message, err := ndp.ParseMessage(got[54:])
	na, ok := message.(*ndp.NeighborAdvertisement)
	if err != nil || !ok || !na.Override || na.Solicited || na.Router || na.TargetAddress != addr {
		t.Fatalf("%+v %v", message, err)
	}
	if o, ok := na.Options[0].(*ndp.LinkLayerAddress); !ok || o.Direction != ndp.Target || !bytes.Equal(o.Addr, mac[:]) {
		t.Errorf("option %+v", na.Options)
	}
	// The checksum over pseudo-header and message comes out as all ones (RFC 8200 section 8.1).
	sum := uint32(32 + 58)
	for b := got[22:]; len(b) > 0; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	if sum != 0xffff {
		t.Errorf("checksum: %#x", sum)
	}
}
