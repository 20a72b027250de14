package ipvs

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// ErrAbsent is what a kernel without IPVS answers.
var ErrAbsent = errors.New("this kernel has no IPVS (CONFIG_IP_VS, module ip_vs)")

var found atomic.Bool

// present asks for IPVS's family of generic netlink; the kernel then loads the module where there is one.
func present() error {
	if found.Load() {
		return nil
	}
	c, err := netlink.Dial(unix.NETLINK_GENERIC, nil)
	if err != nil {
		return fmt.Errorf("cannot open generic netlink: %w", err)
	}
	defer c.Close()
	name, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.CTRL_ATTR_FAMILY_NAME, Data: []byte("IPVS\x00")}})
	if err != nil {
		return err
	}
	_, err = c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.GENL_ID_CTRL, Flags: netlink.Request | netlink.Acknowledge},
		Data:   append([]byte{unix.CTRL_CMD_GETFAMILY, 1, 0, 0}, name...),
	})
	switch {
	case errors.Is(err, unix.ENOENT):
		return ErrAbsent
	case err != nil:
		return fmt.Errorf("cannot ask for IPVS: %w", err)
	}
	found.Store(true)
	return nil
}

// Loaded reports whether the kernel has IPVS in it already. It loads nothing: where it is not loaded, nobody can have made anything.
func Loaded() bool {
	_, err := os.Stat("/proc/self/net/ip_vs")
	return err == nil
}
