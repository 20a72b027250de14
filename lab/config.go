package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Config says what lab to make. The zero value of a field means its default.
type Config struct {
	Name     string // default "lab"
	Managers int    // default 3
	Workers  int
	// NoCluster boots the nodes and starts no daemon on them.
	NoCluster bool
	// IPv6 gives the underlay IPv6 addresses as well, and those are what the cluster uses; IPv6Only gives it no others.
	Underlay
	Balancer string // of every daemon
	// InitArgs are passed on to `cluster init`.
	InitArgs []string
	// Binary is the swarmnet that the nodes run; default: the running program.
	Binary string
	// Bound ends the lab with the process that made it, as tests want it.
	Bound bool
	// Progress is told each step, in words; nil: nobody is.
	Progress func(string)
	// BootTimeout bounds each wait of Up (a daemon answering, all nodes ready); default 60 s.
	BootTimeout time.Duration
}

// Outside is the name of the host on the underlay that is no member.
const Outside = "outside"

const (
	maxNodes     = 250
	outsideIndex = 254
)

var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		c.Name = DefaultName
	}
	if !validName.MatchString(c.Name) {
		return c, fmt.Errorf("%q is not a name for a lab: up to 32 of a-z, 0-9, - and _ are wanted", c.Name)
	}
	c.IPv6 = c.IPv6 || c.IPv6Only
	if c.Managers == 0 {
		c.Managers = 3
	}
	switch {
	case c.Managers < 1 || c.Workers < 0:
		return c, errors.New("a lab needs at least one manager")
	case c.Managers+c.Workers > maxNodes:
		return c, fmt.Errorf("a lab of %d nodes does not fit its underlay: %d is the most", c.Managers+c.Workers, maxNodes)
	}
	if c.Binary == "" {
		exe, err := os.Executable()
		if err != nil {
			return c, fmt.Errorf("cannot find the swarmnet program (%w): name it", err)
		}
		c.Binary = exe
	}
	abs, err := filepath.Abs(c.Binary)
	if err != nil {
		return c, err
	}
	c.Binary = abs
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	if c.BootTimeout == 0 {
		c.BootTimeout = time.Minute
	}
	return c, nil
}

// dirFor is where a lab keeps its files: a short path, since it holds unix sockets, and one that the nodes' own /run does not hide.
func dirFor(name string, uid int) string { return dirPrefix(uid) + name }

func dirPrefix(uid int) string {
	if uid == 0 {
		return "/tmp/swarmnet-lab-"
	}
	return "/tmp/swarmnet-lab." + strconv.Itoa(uid) + "-"
}

// nodeName is the name of the node with a number.
func nodeName(index int) string {
	if index == outsideIndex {
		return Outside
	}
	return "n" + strconv.Itoa(index)
}

// nodeIndex is the inverse of nodeName.
func nodeIndex(name string) (int, error) {
	if name == Outside {
		return outsideIndex, nil
	}
	i, err := strconv.Atoi(strings.TrimPrefix(name, "n"))
	if err != nil || i < 1 || i > maxNodes || nodeName(i) != name {
		return 0, fmt.Errorf("%q is not a node of a lab: n1, n2, … or %s is wanted", name, Outside)
	}
	return i, nil
}

// Addr is the underlay address (RFC 5737, TEST-NET-1) of a node.
func Addr(node string) netip.Addr {
	i, err := nodeIndex(node)
	if err != nil {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
}

// Underlay says which families of addresses a lab's underlay has: IPv4 unless only the other was wanted.
type Underlay struct{ IPv6, IPv6Only bool }

// Addr is the underlay address of a node that the cluster uses.
func (u Underlay) Addr(node string) netip.Addr {
	if u.IPv6 {
		return Addr6(node)
	}
	return Addr(node)
}

// prefixes are all underlay addresses of a node, the one that the cluster uses first.
func (u Underlay) prefixes(node string) []netip.Prefix {
	var out []netip.Prefix
	if u.IPv6 {
		out = append(out, netip.PrefixFrom(Addr6(node), 64))
	}
	if !u.IPv6Only {
		out = append(out, netip.PrefixFrom(Addr(node), 24))
	}
	return out
}

// Addr6 is the underlay address (RFC 3849) of a node in a lab with IPv6.
func Addr6(node string) netip.Addr {
	i, err := nodeIndex(node)
	if err != nil {
		return netip.Addr{}
	}
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: byte(i)})
}
