package wire

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// decoder keeps the first error of a decoding, so that the converters read like tables.
type decoder struct{ err error }

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

// decode runs one converter and returns its result with the first error.
func decode[M, T any](f func(*decoder, M) T, m M) (T, error) {
	var d decoder
	v := f(&d, m)
	if d.err != nil {
		var zero T
		return zero, d.err
	}
	return v, nil
}

func each[M, T any](in []M, f func(M) T) []T {
	if len(in) == 0 {
		return nil
	}
	out := make([]T, len(in))
	for i, m := range in {
		out[i] = f(m)
	}
	return out
}

func decodeEach[M, T any](d *decoder, in []M, f func(*decoder, M) T) []T {
	return each(in, func(m M) T { return f(d, m) })
}

// enumTo gives the proto value of a Go enumeration value: one more, since 0 means "unspecified" there.
func enumTo[P ~int32, T ~uint8](v T) P { return P(v) + 1 }

// enumFrom is enumTo backwards; last is the highest known Go value.
func enumFrom[T ~uint8, P ~int32](d *decoder, what string, v P, last T) T {
	if v == 0 {
		return 0
	}
	if v < 0 || v-1 > P(last) {
		d.fail("%s has the unknown value %d", what, v)
		return 0
	}
	return T(v - 1)
}

func (d *decoder) port(what string, v uint32) uint16 { return uint16(d.max(what, v, 1<<16-1)) }

func (d *decoder) max(what string, v, most uint32) uint32 {
	if v > most {
		d.fail("%s is %d, more than %d", what, v, most)
		return 0
	}
	return v
}

func addrTo(a netip.Addr) []byte { return a.AsSlice() }

func (d *decoder) addr(what string, b []byte) netip.Addr {
	if len(b) == 0 {
		return netip.Addr{}
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		d.fail("%s is an address of %d octets", what, len(b))
	}
	return a
}

func macTo(m swarmnet.MAC) []byte {
	if m.IsZero() {
		return nil
	}
	return m[:]
}

func (d *decoder) mac(what string, b []byte) (m swarmnet.MAC) {
	switch len(b) {
	case 0:
	case len(m):
		m = swarmnet.MAC(b)
	default:
		d.fail("%s has %d octets", what, len(b))
	}
	return m
}

func prefixTo(p netip.Prefix) *pb.Prefix {
	if !p.IsValid() {
		return nil
	}
	return &pb.Prefix{Addr: addrTo(p.Addr()), Bits: uint32(p.Bits())}
}

func (d *decoder) prefix(what string, m *pb.Prefix) netip.Prefix {
	if len(m.GetAddr()) == 0 && m.GetBits() == 0 {
		return netip.Prefix{}
	}
	a := d.addr(what, m.GetAddr())
	if !a.IsValid() || m.GetBits() > uint32(a.BitLen()) {
		d.fail("%s is not a prefix: %d octets, length %d", what, len(m.GetAddr()), m.GetBits())
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, int(m.GetBits()))
}

func addrsTo(in map[string]netip.Addr) map[string][]byte {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string][]byte, len(in))
	for k, a := range in {
		out[k] = addrTo(a)
	}
	return out
}

func (d *decoder) addrs(what string, in map[string][]byte) map[string]netip.Addr {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]netip.Addr, len(in))
	for k, b := range in {
		out[k] = d.addr(what, b)
	}
	return out
}

func timeTo(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func (d *decoder) time(what string, m *timestamppb.Timestamp) time.Time {
	if m == nil {
		return time.Time{}
	}
	if err := m.CheckValid(); err != nil {
		d.fail("%s is not a time: %v", what, err)
		return time.Time{}
	}
	return m.AsTime()
}

func durationTo(v time.Duration) *durationpb.Duration {
	if v == 0 {
		return nil
	}
	return durationpb.New(v)
}

func (d *decoder) duration(what string, m *durationpb.Duration) time.Duration {
	if m == nil {
		return 0
	}
	// The wire form reaches further than time.Duration, to which AsDuration saturates: compare to see it.
	v := m.AsDuration()
	if err := m.CheckValid(); err != nil {
		d.fail("%s is not a duration: %v", what, err)
		return 0
	}
	if back := durationpb.New(v); back.Seconds != m.Seconds || back.Nanos != m.Nanos {
		d.fail("%s is too long a duration", what)
		return 0
	}
	return v
}

// text makes s valid UTF-8: what comes from a workload or a kernel may hold anything, and proto strings may not.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// labels returns m, or nil if it is empty.
func labels(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func octets(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}

func words(in []string) []string {
	if len(in) == 0 {
		return nil
	}
	return append([]string(nil), in...)
}

func metaTo(m swarmnet.Meta) *pb.Meta {
	return &pb.Meta{Created: m.Created, Updated: m.Updated, CreatedAt: timeTo(m.CreatedAt), UpdatedAt: timeTo(m.UpdatedAt)}
}

func (d *decoder) meta(m *pb.Meta) swarmnet.Meta {
	return swarmnet.Meta{
		Created: m.GetCreated(), Updated: m.GetUpdated(),
		CreatedAt: d.time("meta.created_at", m.GetCreatedAt()), UpdatedAt: d.time("meta.updated_at", m.GetUpdatedAt()),
	}
}
