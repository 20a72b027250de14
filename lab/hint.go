package lab

// DefaultName is the lab that is meant when none is named.
const DefaultName = "lab"

// CommandLine is the command line of a verb of `swarmnet lab` for the lab of a name, as a person types it.
func CommandLine(name, verb string) string {
	if name == DefaultName {
		return "swarmnet lab " + verb
	}
	return "swarmnet lab --name " + name + " " + verb
}
