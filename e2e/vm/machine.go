package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// machine is one run of the emulator.
type machine struct {
	emulator, kernel, initrd string
	memory                   int    // MiB
	accel                    string // "" is kvm where it can be
	status                   string // the file that the guest's second serial line writes to
}

// hardwareBoot is how long a guest may take to come up with the processor's own virtualisation. Inside another virtual machine that may be there
// and not work.
const hardwareBoot = 20 * time.Second

// run boots the machine, streams its console to the standard output, and returns the exit status of its script.
func (m machine) run(ctx context.Context) (int, error) {
	begun := time.Now()
	accel := m.accel
	if accel == "" {
		accel = "tcg"
		if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err == nil {
			f.Close()
			accel = "kvm"
		}
	}
	err := m.boot(ctx, accel)
	if m.accel == "" && accel == "kvm" && ctx.Err() == nil && !m.up() {
		fmt.Printf("vm: /dev/kvm is here and does not work (%v): booting without it\n", err)
		accel = "tcg"
		err = m.boot(ctx, accel)
	}
	status, done := m.result()
	switch {
	case done:
		fmt.Printf("vm: exit status %d after %v with %s\n", status, time.Since(begun).Round(100*time.Millisecond), accel)
		return status, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return 1, fmt.Errorf("switched off after %v: the script was still running", time.Since(begun).Round(time.Second))
	case err != nil:
		return 1, fmt.Errorf("%s: %w", emulatorName, err)
	}
	return 1, errors.New("the guest ended before its script did")
}

func (m machine) boot(ctx context.Context, accel string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	cmd := exec.CommandContext(ctx, m.emulator,
		"-machine", "q35", "-accel", accel, "-cpu", "max", "-smp", "2", "-m", strconv.Itoa(m.memory),
		"-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot",
		"-serial", "stdio", "-serial", "file:"+m.status,
		"-kernel", m.kernel, "-initrd", m.initrd,
		"-append", "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on")
	cmd.Stdout = os.Stdout
	if accel == "tcg" {
		cmd.Stderr = os.Stderr
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if accel == "kvm" && m.accel == "" {
		watch := time.AfterFunc(hardwareBoot, func() {
			if !m.up() {
				stop()
			}
		})
		defer watch.Stop()
	}
	return cmd.Run()
}

// up reports whether the guest's first process has begun.
func (m machine) up() bool { return len(m.said()) > 0 }

// result is the exit status of the guest's script, once it ended.
func (m machine) result() (status int, done bool) {
	for _, line := range m.said() {
		if text, ok := strings.CutPrefix(line, "exit "); ok {
			status, err := strconv.Atoi(strings.TrimSpace(text))
			return status, err == nil
		}
	}
	return 0, false
}

// said are the lines of the guest's second serial line.
func (m machine) said() []string {
	b, err := os.ReadFile(m.status)
	if err != nil {
		return nil
	}
	return slices.Collect(strings.Lines(strings.ReplaceAll(string(b), "\r", "")))
}
