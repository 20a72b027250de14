package nft

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/plan"
)

// change is one line of a plan.
type change struct {
	remove bool
	what   string
}

func tell(p *plan.Plan, list []change) {
	for _, c := range list {
		if c.remove {
			p.Remove("%s", c.what)
		} else {
			p.Add("%s", c.what)
		}
	}
}

// describe says what steps do to a table, in nft(8)'s words.
func describe(t Table, steps []step) (out []change) {
	name := t.Family.String() + " " + t.Name
	line := func(remove bool, format string, args ...any) {
		out = append(out, change{remove, fmt.Sprintf(format, args...)})
	}
	for _, s := range steps {
		switch s.kind {
		case addTable, delTable:
			line(s.kind == delTable, "table %s", name)
		case addSet, delSet:
			line(s.kind == delSet, "set %s %s", name, s.set.Name)
		case addChain, delChain:
			line(s.kind == delChain, "chain %s %s", name, s.chain.Name)
		case fillChain:
			line(false, "rules of chain %s %s", name, s.chain.Name)
		case setElems:
			for _, k := range slices.Sorted(maps.Keys(s.drop)) {
				line(true, "element %s %s { %s }", name, s.set.Name, s.set.words(k, s.drop[k]))
			}
			for _, k := range slices.Sorted(maps.Keys(s.add)) {
				line(false, "element %s %s { %s }", name, s.set.Name, s.set.words(k, s.add[k]))
			}
		}
	}
	return out
}

func (s Set) words(key, data string) string {
	switch {
	case s.Verdict:
		return s.Key.words(key) + " : jump " + data
	case s.Data.Len > 0:
		return s.Key.words(key) + " : " + s.Data.words(data)
	}
	return s.Key.words(key)
}

func (t Type) words(data string) string {
	var kinds []uint32
	for m := t.Magic; m != 0; m >>= 6 {
		kinds = append(kinds, m&0x3f)
	}
	slices.Reverse(kinds)
	var out []string
	for _, k := range kinds {
		size := 4
		switch k {
		case TypeIPv6.Magic, TypeIface.Magic:
			size = 16
		case TypeEther.Magic:
			size = 8
		}
		if len(kinds) == 1 {
			size = len(data)
		}
		if size > len(data) {
			break
		}
		out = append(out, wordOf(k, []byte(data[:size])))
		data = data[size:]
	}
	return strings.Join(out, " . ")
}

func wordOf(kind uint32, b []byte) string {
	switch {
	case kind == TypeIPv4.Magic && len(b) >= 4, kind == TypeIPv6.Magic && len(b) >= 16:
		a, _ := netip.AddrFromSlice(b)
		return a.String()
	case kind == TypeIface.Magic:
		return strings.TrimRight(string(b), "\x00")
	case kind == TypeEther.Magic && len(b) >= 6:
		return net.HardwareAddr(b[:6]).String()
	case kind == TypeProto.Magic && len(b) > 0:
		switch b[0] {
		case unix.IPPROTO_TCP:
			return "tcp"
		case unix.IPPROTO_UDP:
			return "udp"
		case unix.IPPROTO_SCTP:
			return "sctp"
		}
		return fmt.Sprint(b[0])
	case kind == TypePort.Magic && len(b) >= 2:
		return fmt.Sprint(binary.BigEndian.Uint16(b))
	case len(b) == 4:
		return fmt.Sprintf("%#x", binary.NativeEndian.Uint32(b))
	}
	return fmt.Sprintf("0x%x", b)
}
