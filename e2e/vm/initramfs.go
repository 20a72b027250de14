package main

import (
	"bufio"
	_ "embed"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed init.sh
var initScript []byte

// moduleDirs hold the modules that the guest gets, with all that they depend on.
var moduleDirs = []string{"kernel/net/", "kernel/drivers/net/"}

// bigDrivers are hardware that the guest has not: half of the archive.
var bigDrivers = "kernel/drivers/net/ethernet/"

// writeInitramfs writes the guest's whole file system.
func writeInitramfs(path string, k guestKernel, script, files string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := bufio.NewWriterSize(f, 1<<20)
	c := &cpioWriter{w: buf}
	for _, d := range []string{"bin", "dev", "etc", "lib", "lib/modules", "proc", "run", "sbin", "sys", "test", "tmp", "usr", "usr/bin", "usr/sbin", "var"} {
		c.dir(d)
	}
	c.device("dev/console", 5, 1)
	c.symlink("sbin/modprobe", "/bin/busybox") // the kernel calls it for what it lacks
	c.file("etc/passwd", 0o644, []byte("root:x:0:0:root:/:/bin/sh\n"))
	c.file("etc/hosts", 0o644, []byte("127.0.0.1 localhost\n::1 localhost\n"))
	c.file("init", 0o755, initScript)
	if err := copyInto(c, "bin/busybox", k.busybox); err != nil {
		return err
	}
	if err := copyInto(c, "test/script", script); err != nil {
		return err
	}
	if files != "" {
		entries, err := os.ReadDir(files)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := copyInto(c, "test/"+e.Name(), filepath.Join(files, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := addModules(c, k); err != nil {
		return err
	}
	if err := c.close(); err != nil {
		return err
	}
	if err := buf.Flush(); err != nil {
		return err
	}
	return f.Close()
}

func copyInto(c *cpioWriter, name, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	st, err := os.Stat(from)
	if err != nil {
		return err
	}
	c.file(name, st.Mode(), b)
	return nil
}

func addModules(c *cpioWriter, k guestKernel) error {
	dep, err := os.ReadFile(filepath.Join(k.modules, "modules.dep"))
	if err != nil {
		return err
	}
	root := "lib/modules/" + k.version
	made := map[string]bool{}
	var mkdir func(dir string)
	mkdir = func(dir string) {
		if dir == "." || dir == "lib/modules" || made[dir] {
			return
		}
		mkdir(filepath.Dir(dir))
		made[dir] = true
		c.dir(dir)
	}
	for _, name := range chooseModules(string(dep)) {
		mkdir(filepath.Dir(filepath.Join(root, name)))
		if err := copyInto(c, filepath.Join(root, name), filepath.Join(k.modules, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"modules.dep", "modules.alias", "modules.symbols", "modules.builtin"} {
		if err := copyInto(c, filepath.Join(root, name), filepath.Join(k.modules, name)); err != nil {
			return err
		}
	}
	return nil
}

// chooseModules returns the modules of moduleDirs and what they depend on, ordered. dep is modules.dep: "MODULE: ALL IT DEPENDS ON", a line each.
func chooseModules(dep string) []string {
	chosen := map[string]bool{}
	for line := range strings.Lines(dep) {
		name, needs, _ := strings.Cut(strings.TrimSpace(line), ":")
		if strings.HasPrefix(name, bigDrivers) || !slices.ContainsFunc(moduleDirs, func(d string) bool { return strings.HasPrefix(name, d) }) {
			continue
		}
		for _, n := range append(strings.Fields(needs), name) {
			chosen[n] = true
		}
	}
	out := make([]string, 0, len(chosen))
	for n := range chosen {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}
