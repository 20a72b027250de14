package swarmnet

// Difference is one thing of ours in a node's kernel that is not as it should be.
type Difference struct {
	// Part of the node's network that it belongs to: PartNetworks, PartPorts, or "sandbox NAME".
	Part string
	// Surplus says that something is there that should not be; else it is missing, or otherwise than it should be.
	Surplus bool
	// Object as ip(8), bridge(8) and nft(8) print it.
	Object string
}

// The parts of a node's network that are no sandbox.
const (
	PartNetworks = "networks"
	PartPorts    = "published ports"
)

// PartSandbox is the part that one sandbox is.
func PartSandbox(name string) string { return "sandbox " + name }

// String is the difference as a line of diff(1): what is to be added, or taken away, that all is as it should be.
func (d Difference) String() string {
	if d.Surplus {
		return "- " + d.Object
	}
	return "+ " + d.Object
}

// NodeDiff is how a node's kernel differs from what it should have of ours.
type NodeDiff struct {
	Differences []Difference // ordered by part; within one in the order in which they are put right
	Unknown     []string     // what could not be compared, and why
	// Repaired is how many differences the daemon has put right since it started that came up after all had been in force.
	Repaired uint64
}

// Agrees reports whether all was compared and nothing differs.
func (d NodeDiff) Agrees() bool { return len(d.Differences)+len(d.Unknown) == 0 }
