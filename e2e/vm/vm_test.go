package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The archive is what the kernel's unpacker reads: every header and every file begins at a multiple of 4 octets.
func TestCPIO(t *testing.T) {
	write := func() []byte {
		var b bytes.Buffer
		c := &cpioWriter{w: &b}
		c.dir("etc")
		c.file("etc/a", 0o644, []byte("hello"))
		c.symlink("b", "/etc/a")
		c.device("console", 5, 1)
		if err := c.close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	b := write()
	if !bytes.Equal(b, write()) {
		t.Error("two archives of the same differ")
	}
	var names []string
	for at := 0; at < len(b); {
		field := func(i int) (v int) {
			for _, d := range b[at+6+8*i : at+14+8*i] {
				v = v<<4 | strings.IndexByte("0123456789ABCDEF", d)
			}
			return v
		}
		if at%4 != 0 || string(b[at:at+6]) != "070701" {
			t.Fatalf("no header at %d", at)
		}
		size, length := field(6), field(11)
		name := string(b[at+110 : at+110+length-1])
		data := (at + 110 + length + 3) &^ 3
		if name == "etc/a" && string(b[data:data+size]) != "hello" {
			t.Errorf("etc/a holds %q", b[data:data+size])
		}
		names = append(names, name)
		at = (data + size + 3) &^ 3
	}
	if want := []string{"etc", "etc/a", "b", "console", "TRAILER!!!"}; !slices.Equal(names, want) {
		t.Errorf("holds %v, want %v", names, want)
	}
}

func TestModulesComeWithWhatTheyNeed(t *testing.T) {
	got := chooseModules(`kernel/net/netfilter/ipvs/ip_vs.ko: kernel/lib/libcrc32c.ko kernel/net/netfilter/nf_conntrack.ko
kernel/drivers/net/vxlan.ko:
kernel/drivers/net/ethernet/e1000.ko: kernel/lib/mdio.ko
kernel/fs/ext4.ko: kernel/lib/crc16.ko
`)
	want := []string{"kernel/drivers/net/vxlan.ko", "kernel/lib/libcrc32c.ko", "kernel/net/netfilter/ipvs/ip_vs.ko", "kernel/net/netfilter/nf_conntrack.ko"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestExitStatusOfTheScript(t *testing.T) {
	m := machine{status: filepath.Join(t.TempDir(), "status")}
	for _, c := range []struct {
		said     string
		up, done bool
		status   int
	}{{"", false, false, 0}, {"up\r\n", true, false, 0}, {"up\r\nexit 3\r\n", true, true, 3}, {"up\r\nexit ", true, false, 0}} {
		if err := os.WriteFile(m.status, []byte(c.said), 0o600); err != nil {
			t.Fatal(err)
		}
		if status, done := m.result(); m.up() != c.up || done != c.done || status != c.status {
			t.Errorf("%q: up %v, done %v, status %d", c.said, m.up(), done, status)
		}
	}
}
