package ipvs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/nl"
)

// ErrAbsent is what a kernel without IPVS answers.
var ErrAbsent = errors.New("this kernel has no IPVS (CONFIG_IP_VS, module ip_vs)")

var number atomic.Uint32

// family asks for the number of IPVS's family of generic netlink; the kernel then loads the module where there is one.
func family() (uint16, error) {
	if n := number.Load(); n != 0 {
		return uint16(n), nil
	}
	c, err := netlink.Dial(unix.NETLINK_GENERIC, nil)
	if err != nil {
		return 0, fmt.Errorf("cannot open generic netlink: %w", err)
	}
	defer c.Close()
	name, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.CTRL_ATTR_FAMILY_NAME, Data: []byte("IPVS\x00")}})
	if err != nil {
		return 0, err
	}
	answers, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.GENL_ID_CTRL, Flags: netlink.Request | netlink.Acknowledge},
		Data:   append([]byte{unix.CTRL_CMD_GETFAMILY, 1, 0, 0}, name...),
	})
	switch {
	case errors.Is(err, unix.ENOENT):
		return 0, ErrAbsent
	case err != nil:
		return 0, fmt.Errorf("cannot ask for IPVS: %w", err)
	}
	for _, a := range answers {
		if len(a.Data) < unix.GENL_HDRLEN {
			continue
		}
		nl.EachAttr(a.Data[unix.GENL_HDRLEN:], func(typ uint16, data []byte) {
			if typ == unix.CTRL_ATTR_FAMILY_ID && len(data) == 2 {
				number.Store(uint32(binary.NativeEndian.Uint16(data)))
			}
		})
	}
	if n := number.Load(); n != 0 {
		return uint16(n), nil
	}
	return 0, errors.New("the kernel does not tell the number of IPVS's generic netlink")
}

// Loaded reports whether the kernel has IPVS in it already. It loads nothing: where it is not loaded, nobody can have made anything.
func Loaded() bool {
	_, err := os.Stat("/proc/self/net/ip_vs")
	return err == nil
}
