package sandbox

import (
	"strings"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// markPrefix starts the ifalias of both ends of an interface that we made. The rest is the sandbox's name and the
// interface's, so that `ip link` in the fabric shows whose port it is.
const markPrefix = "swarmnet "

func mark(sandbox string, i Interface) string { return markPrefix + sandbox + " " + i.Name }

func isOurs(l nl.Link) bool { return strings.HasPrefix(l.Alias, markPrefix) }

// ownerOf is the name of the sandbox that a port belongs to, or empty.
func ownerOf(l nl.Link) string {
	rest, ok := strings.CutPrefix(l.Alias, markPrefix)
	name, _, ok2 := strings.Cut(rest, " ")
	if !ok || !ok2 {
		return ""
	}
	return name
}

// portName is the name of the fabric's end of a sandbox's interface on a network: at most 15 characters are possible, so it is derived.
func portName(sandbox string, vni swarmnet.VNI) string {
	return "ve" + swarmnet.ShortID(swarmnet.DeriveID("port", sandbox, vni.String()))
}
