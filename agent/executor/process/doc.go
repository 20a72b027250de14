// Package process runs a task's command as a process in the task's sandbox.
//
// Each command is held by a shim: this binary again, started as `swarmnet shim` and living in namespaces of its own (network: the
// sandbox's; mount, UTS and PID: new). The shim is the init of its PID namespace, so the command may have as many children as
// it likes: they are reaped when they end and killed with the shim. It outlives the daemon, in a session of its own.
//
// A task's directory, RunDir/tasks/ID, is all that daemon and shim share:
//
//	spec.json    what to run, written before the shim starts
//	resolv.conf  hosts  hostname   bind-mounted over the files of /etc
//	state.json   how far the shim got: its record of the start and of the exit status
//	log, log.1   the command's output, in the format of the Kubernetes CRI, at most LogSize octets each
//	shim.sock    the control socket, see protocol.go
//	shim.log     what the shim itself had to say (empty, unless it crashed)
//
// Whether a shim lives is asked of its control socket, never of a process id: ids are used again.
package process
