// Package hostport finds out which program has a port of a host.
package hostport

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/swarmnet/swarmnet"
)

// Program is one that has a port.
type Program struct {
	PID  int // 0: no program that can be seen from here has it open; the kernel itself may, or one in another pid namespace
	Name string
}

func (p Program) String() string { return fmt.Sprintf("%s (pid %d)", p.Name, p.PID) }

// Find looks for who has a port in the calling thread's network namespace on an address, or on a wildcard that covers it; the zero address
// and the wildcards ask for any. bound says that a socket has it, as proc(5) lists them: all of UDP, of TCP those that listen.
func Find(proto swarmnet.Protocol, addr netip.Addr, port uint16) (who Program, bound bool) {
	inodes := map[string]bool{}
	for _, suffix := range []string{"", "6"} {
		b, err := os.ReadFile("/proc/thread-self/net/" + proto.String() + suffix)
		if err != nil { // SCTP, which is listed elsewhere, or a host without IPv6
			continue
		}
		for line := range strings.Lines(string(b)) {
			if s, ok := parse(line); ok && s.port == port && covers(s.addr, addr) {
				inodes["socket:["+s.inode+"]"] = true
			}
		}
	}
	if len(inodes) == 0 {
		return Program{}, false
	}
	return owner(inodes), true
}

// socket is a line of /proc/net/tcp and its like.
type socket struct {
	addr  netip.Addr
	port  uint16
	inode string
}

// parse reads a line; those of sockets that have a peer are not ok.
func parse(line string) (s socket, ok bool) {
	const listening, unconnected = "0A", "07"
	col := strings.Fields(line)
	if len(col) < 10 || col[3] != listening && col[3] != unconnected {
		return s, false
	}
	addrText, portText, _ := strings.Cut(col[1], ":")
	raw, err := hex.DecodeString(addrText)
	port, perr := strconv.ParseUint(portText, 16, 16)
	if err != nil || perr != nil || len(raw) != 4 && len(raw) != 16 {
		return s, false
	}
	for i := 0; i < len(raw); i += 4 { // words, printed as the host has them
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	a, _ := netip.AddrFromSlice(raw)
	return socket{a.Unmap(), uint16(port), col[9]}, true
}

// covers reports whether a socket on one address is in the way of one on another. A wildcard is taken to be that of both families.
func covers(have, want netip.Addr) bool {
	return !want.IsValid() || want.IsUnspecified() || have.IsUnspecified() && (have.Is6() || want.Is4()) || have == want
}

// owner is the program that has one of the sockets open.
func owner(sockets map[string]bool) Program {
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return Program{}
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err != nil || !sockets[to] {
			continue
		}
		dir := filepath.Dir(filepath.Dir(fd))
		comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			return Program{pid, strings.TrimSpace(string(comm))}
		}
	}
	return Program{}
}
