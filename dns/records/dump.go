package records

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// String lists all names, one a line, as `NETWORK NAME: ADDRESS…`.
func (r *Records) String() string {
	var lines []string
	for _, z := range r.zones {
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
