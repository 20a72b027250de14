package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Debian's packages: the newest kernel for virtual machines, a shell, the emulator.
const (
	kernelPackage   = "linux-image-cloud-amd64" // depends on the one with the version in its name
	busyboxPackage  = "busybox-static"
	emulatorPackage = "qemu-system-x86"
	emulatorName    = "qemu-system-x86_64"
)

// guestKernel is a kernel with its modules and a static busybox, unpacked.
type guestKernel struct {
	image, version string
	modules        string // lib/modules/VERSION, with what depmod makes
	busybox        string
}

// findEmulator returns the emulator's path; root gets it installed.
func findEmulator(ctx context.Context) (string, error) {
	if path, err := exec.LookPath(emulatorName); err == nil {
		return path, nil
	}
	if os.Geteuid() != 0 {
		return "", fmt.Errorf("%s is not installed, and only root can install it: apt-get install %s", emulatorName, emulatorPackage)
	}
	install := func() error {
		return command(ctx, "", "apt-get", "install", "-y", "-q", "--no-install-recommends", emulatorPackage)
	}
	if err := withFreshLists(ctx, install); err != nil {
		return "", fmt.Errorf("cannot install %s: %w", emulatorPackage, err)
	}
	return exec.LookPath(emulatorName)
}

// fetchKernel downloads and unpacks the kernel and busybox, unless the cache has them.
func fetchKernel(ctx context.Context, cache string) (guestKernel, error) {
	if k, err := findKernel(cache); err == nil {
		return k, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return guestKernel{}, err
	}
	tmp, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return guestKernel{}, err
	}
	defer os.RemoveAll(tmp)
	download := func() error {
		name, err := newestKernel(ctx)
		if err != nil {
			return err
		}
		return command(ctx, tmp, "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name, busyboxPackage)
	}
	if err := withFreshLists(ctx, download); err != nil {
		return guestKernel{}, fmt.Errorf("cannot download %s and %s, which only a Debian machine with its packages in reach can: %w", kernelPackage, busyboxPackage, err)
	}
	packages, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil {
		return guestKernel{}, err
	}
	root := filepath.Join(tmp, "root")
	for _, p := range packages {
		if err := command(ctx, "", "dpkg-deb", "-x", p, root); err != nil {
			return guestKernel{}, err
		}
	}
	if err := os.RemoveAll(filepath.Join(cache, "root")); err != nil {
		return guestKernel{}, err
	}
	k, err := findKernel(tmp)
	if err != nil {
		return guestKernel{}, err
	}
	if err := command(ctx, "", k.busybox, "depmod", "-b", root, k.version); err != nil {
		return guestKernel{}, err
	}
	if err := os.Rename(root, filepath.Join(cache, "root")); err != nil {
		return guestKernel{}, err
	}
	return findKernel(cache)
}

// findKernel finds what was unpacked into dir/root.
func findKernel(dir string) (guestKernel, error) {
	root := filepath.Join(dir, "root")
	images, err := filepath.Glob(filepath.Join(root, "boot/vmlinuz-*"))
	if err != nil || len(images) != 1 {
		return guestKernel{}, errors.New("no kernel in " + root)
	}
	version := strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-")
	busybox, err := filepath.Abs(filepath.Join(root, "bin/busybox"))
	if err != nil {
		return guestKernel{}, err
	}
	_, err = os.Stat(busybox)
	return guestKernel{images[0], version, filepath.Join(root, "lib/modules", version), busybox}, err
}

// newestKernel is the package with the kernel itself.
func newestKernel(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-cache", "depends", kernelPackage).Output()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(out)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok && strings.HasPrefix(name, "linux-image-") {
			return name, nil
		}
	}
	return "", errors.New("the package lists do not know " + kernelPackage)
}

// withFreshLists tries again with new package lists when there are none, or old ones that name what is there no more.
func withFreshLists(ctx context.Context, do func() error) error {
	err := do()
	if err == nil || ctx.Err() != nil || os.Geteuid() != 0 {
		return err
	}
	if err := command(ctx, "", "apt-get", "-q", "update"); err != nil {
		return err
	}
	return do()
}

// command runs a program; its error ends with the last line that the program said.
func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, lines[len(lines)-1])
	}
	return nil
}
