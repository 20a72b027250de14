// Package version holds what the build says of itself.
package version

// Version and Commit are set by the linker.
var (
	Version = "dev"
	Commit  = "unknown"
)
