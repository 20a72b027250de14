// Command vm runs a script on Debian's stock kernel in a small virtual machine, so that tests can use what the machine's own kernel may lack
// (IPVS, WireGuard, netem): no privileges are needed but to install an emulator that is missing. What it fetches it keeps below -cache.
//
//	go run ./e2e/vm -files DIR SCRIPT
//
// SCRIPT is run by the guest's sh, as root and with nothing else running, beside the files of DIR. Its output is streamed, and its
// exit status is this command's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

func main() {
	runtime.LockOSThread() // the emulator ends with the thread that started it
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	status, err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "vm: %v\n", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

func run(ctx context.Context, args []string) (int, error) {
	fl := flag.NewFlagSet("vm", flag.ContinueOnError)
	cache := fl.String("cache", ".cache/vm", "where downloads are kept")
	files := fl.String("files", "", "directory whose files are put into the guest's /test")
	timeout := fl.Duration("timeout", 10*time.Minute, "when the machine is switched off at the latest")
	accel := fl.String("accel", "", "kvm or tcg (default: kvm where /dev/kvm can be opened)")
	memory := fl.Int("memory", 3072, "the guest's memory, MiB")
	if err := fl.Parse(args); err != nil {
		return 2, err
	}
	if fl.NArg() != 1 {
		return 2, errors.New("which script to run? (vm [flags] SCRIPT)")
	}
	emulator, err := findEmulator(ctx)
	if err != nil {
		return 1, err
	}
	k, err := fetchKernel(ctx, *cache)
	if err != nil {
		return 1, err
	}
	work, err := os.MkdirTemp("", "swarmnet-vm-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(work)
	initrd := filepath.Join(work, "initrd")
	if err := writeInitramfs(initrd, k, fl.Arg(0), *files); err != nil {
		return 1, fmt.Errorf("cannot build the guest's file system: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	m := machine{emulator: emulator, kernel: k.image, initrd: initrd, memory: *memory, accel: *accel, status: filepath.Join(work, "status")}
	return m.run(ctx)
}
