package nl

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// String is the route as ip-route(8) has it, with the interface's number.
func (r Route) String() string {
	out := "route " + r.Dst.String()
	if r.Via.IsValid() {
		out += " via " + r.Via.String()
	}
	return out
}

// ReplaceRoutes is ReplaceRoute for many, batchSize of them a system call. One that is refused does not keep the others from being set.
func (c *Conn) ReplaceRoutes(list []Route) error {
	if c.plan != nil {
		for _, r := range list {
			c.plan.Add("route %s", c.words(r))
		}
	}
	return c.routes(list, unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
}

// DelRoutes is DelRoute for many.
func (c *Conn) DelRoutes(list []Route) error {
	if c.plan != nil {
		for _, r := range list {
			c.plan.Remove("route %s", c.words(r))
		}
	}
	return c.routes(list, unix.RTM_DELROUTE, 0)
}

func (c *Conn) routes(list []Route, typ, flags uint16) error {
	return sendAll(c, "routes", list, typ == unix.RTM_DELROUTE, func(b []byte, r Route, ack uint16, seq uint32) []byte {
		return appendRoute(b, r, typ, flags|ack|unix.NLM_F_REQUEST, seq)
	})
}

// appendRoute appends one RTM_*ROUTE message: struct nlmsghdr, struct rtmsg (linux/rtnetlink.h), attributes.
func appendRoute(b []byte, r Route, typ, flags uint16, seq uint32) []byte {
	start := len(b)
	b = append(b, make([]byte, unix.NLMSG_HDRLEN+unix.SizeofRtMsg)...)
	rt := b[start+unix.NLMSG_HDRLEN:]
	rt[0] = unix.AF_INET
	if r.Dst.Addr().Is6() {
		rt[0] = unix.AF_INET6
	}
	table := uint32(r.Table)
	if r.Table == 0 {
		table = unix.RT_TABLE_MAIN
	}
	rt[1], rt[4], rt[5], rt[7] = byte(r.Dst.Bits()), byte(table), RouteProtocol, unix.RTN_UNICAST
	if table > 255 {
		rt[4] = unix.RT_TABLE_UNSPEC
	}
	if !r.Via.IsValid() {
		rt[6] = unix.RT_SCOPE_LINK
	}
	if r.Onlink {
		binary.NativeEndian.PutUint32(rt[8:], unix.RTNH_F_ONLINK)
	}
	number := func(typ uint16, v uint32) {
		b = appendAttr(b, typ, binary.NativeEndian.AppendUint32(nil, v))
	}
	if r.Dst.Bits() > 0 {
		b = appendAttr(b, unix.RTA_DST, r.Dst.Addr().AsSlice())
	}
	if r.Via.IsValid() {
		b = appendAttr(b, unix.RTA_GATEWAY, r.Via.AsSlice())
	}
	if r.Src.IsValid() {
		b = appendAttr(b, unix.RTA_PREFSRC, r.Src.AsSlice())
	}
	if r.Metric != 0 {
		number(unix.RTA_PRIORITY, uint32(r.Metric))
	}
	number(unix.RTA_OIF, uint32(r.Index))
	number(unix.RTA_TABLE, table)
	putHeader(b[start:], typ, flags, seq)
	return b
}
