package process

import (
	"os"
)

// standard are a command's standard files and the shim's ends of them.
type standard struct {
	theirs [3]*os.File
	input  *os.File   // where what it reads is written, or its terminal; nil: it reads nothing
	output []*os.File // what it writes: standard output and standard error, or its terminal
}

// openStandard opens a terminal, or pipes. Without spec.Stdin there is nothing to read.
func openStandard(spec shimSpec) (f standard, err error) {
	defer func() {
		if err != nil {
			closeAll(f.theirs[:])
			closeAll(f.output)
		}
	}()
	if spec.TTY {
		master, tty, err := OpenTerminal()
		if err != nil {
			return f, err
		}
		return standard{theirs: [3]*os.File{tty, tty, tty}, input: master, output: []*os.File{master}}, nil
	}
	if !spec.Stdin {
		if f.theirs[0], err = os.Open(os.DevNull); err != nil {
			return f, err
		}
	} else if f.theirs[0], f.input, err = os.Pipe(); err != nil {
		return f, err
	}
	for i := 1; i < 3; i++ {
		r, w, err := os.Pipe()
		if err != nil {
			return f, err
		}
		f.theirs[i], f.output = w, append(f.output, r)
	}
	return f, nil
}
