package process

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// OpenTerminal makes a terminal: what a person types goes into master, a command's standard files are tty (pty(7)).
func OpenTerminal() (master, tty *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0); err != nil {
		return nil, nil, fmt.Errorf("no terminal can be made: %w", err)
	}
	err = onFD(master, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		// By descriptor, since its name may lie in another mount namespace's /dev/pts.
		peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
		if errno != 0 {
			return errno
		}
		tty = os.NewFile(peer, "tty")
		return nil
	})
	if err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("no terminal can be made: %w", err)
	}
	return master, tty, nil
}

// ResizeTerminal tells the command behind a terminal how large it is, in characters.
func ResizeTerminal(master *os.File, rows, columns uint16) error {
	return onFD(master, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	})
}

// onFD does not take the file out of the runtime's poller, as File.Fd does: a Close would not end its Reads any more.
func onFD(f *os.File, use func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := conn.Control(func(fd uintptr) { inner = use(int(fd)) }); err != nil {
		return err
	}
	return inner
}
