package main

import (
	"fmt"
	"io"
	"io/fs"
)

// cpioWriter writes an archive in the "new ASCII" format which the kernel unpacks into its first file system
// (Documentation/driver-api/early-userspace/buffer-format.rst). Equal entries give equal octets: it knows no owner and no time.
type cpioWriter struct {
	w   io.Writer
	ino uint32
	err error
}

// Types of files (inode(7)).
const (
	cpioDir     = 0o040000
	cpioRegular = 0o100000
	cpioSymlink = 0o120000
	cpioChar    = 0o020000
)

func (c *cpioWriter) dir(name string) { c.entry(name, cpioDir|0o755, nil, 0, 0) }
func (c *cpioWriter) file(name string, perm fs.FileMode, data []byte) {
	c.entry(name, cpioRegular|uint32(perm.Perm()), data, 0, 0)
}
func (c *cpioWriter) symlink(name, to string) { c.entry(name, cpioSymlink|0o777, []byte(to), 0, 0) }
func (c *cpioWriter) device(name string, major, minor uint32) {
	c.entry(name, cpioChar|0o600, nil, major, minor)
}

func (c *cpioWriter) entry(name string, mode uint32, data []byte, major, minor uint32) {
	c.ino++
	links := uint32(1)
	c.write(fmt.Appendf(nil, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		c.ino, mode, 0, 0, links, 0, len(data), 0, 0, major, minor, len(name)+1, 0))
	c.write(append([]byte(name), 0), 110)
	c.write(data, 0)
}

// close writes the end of the archive and returns the first error of all.
func (c *cpioWriter) close() error {
	c.ino = 0
	c.entry("TRAILER!!!", 0, nil, 0, 0)
	return c.err
}

// write writes a part and fills it up to a multiple of 4 octets, counted from offset; without one nothing is filled up.
func (c *cpioWriter) write(b []byte, offset ...int) {
	if c.err != nil {
		return
	}
	if _, c.err = c.w.Write(b); c.err != nil || len(offset) == 0 {
		return
	}
	_, c.err = c.w.Write(make([]byte, -(offset[0]+len(b))&3))
}
