// Command swarmnet is the daemon, the admin CLI and the lab.
package main

import (
	"context"
	"io"
	"os"

	"github.com/swarmnet/swarmnet/agent/executor/process"
	"github.com/swarmnet/swarmnet/cli"
	"github.com/swarmnet/swarmnet/lab"
)

func main() {
	os.Exit(run(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// run is one of three: the holder of a task's process, a process of the lab, or what a person typed.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 1 && args[1] == "shim" {
		return process.ShimMain(args[2:])
	}
	if code, ours := lab.Main(args[1:]); ours {
		return code
	}
	return cli.Run(ctx, args[1:], stdin, stdout, stderr)
}
