package swarmnet

// ValidateSandboxName checks the name of a sandbox that a person runs: others on its networks resolve it.
func ValidateSandboxName(name string) error { return checkName("sandbox", name, 63, true) }
