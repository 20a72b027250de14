package records

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// String lists all names, one a line, as `NETWORK NAME: ADDRESS…`.
func (r *Records) String() string {
	var lines []string
	for _, z := range r.zones {
		z = z.whole()
		for _, name := range slices.Sorted(maps.Keys(z.names)) {
			e := z.names[name]
			line := fmt.Sprintf("%s %s:", z.suffix[1:], name)
			for _, a := range e.addrs {
				line += " " + a.String()
			}
			if e.rotate {
				line += " (any order)"
			}
			lines = append(lines, line)
		}
		for addr, name := range z.byAddr {
			lines = append(lines, fmt.Sprintf("%s %s -> %s%s.", z.suffix[1:], addr, name, z.suffix))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// whole is the zone with what is newer in its place.
func (z *zone) whole() *zone {
	out := &zone{suffix: z.suffix, names: maps.Clone(z.names), byAddr: maps.Clone(z.byAddr), servers: maps.Clone(z.servers)}
	maps.Copy(out.names, z.newer)
	maps.DeleteFunc(out.names, func(_ string, e *entry) bool { return e == nil })
	maps.Copy(out.byAddr, z.newerByAddr)
	maps.DeleteFunc(out.byAddr, func(_ netip.Addr, name string) bool { return name == "" })
	for key, s := range z.newerServed {
		out.servers[key] = s.by
		if s.gone {
			delete(out.servers, key)
		}
	}
	return out
}
