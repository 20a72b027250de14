package ipvs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/netns"
)

// Probe tries, in a namespace made for it, all that a balancer needs. The error names the kernel's option that is missing.
func Probe(s Scheduler) error {
	if _, err := family(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "swarmnet-ipvs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := netns.Create(dir, "probe"); err != nil {
		return err
	}
	defer netns.Delete(dir, "probe")
	path := filepath.Join(dir, "probe")
	c, err := Open(path)
	if err != nil {
		return err
	}
	defer c.Close()
	config, err := c.h.GetConfig()
	switch {
	case errors.Is(err, unix.EPERM):
		return errors.New("IPVS is not for this user namespace (Linux 6.11 allows it)")
	case err != nil:
		return fmt.Errorf("IPVS: %w", err)
	case config.TimeoutTCP == 0:
		return errors.New("IPVS does not balance TCP (CONFIG_IP_VS_PROTO_TCP)")
	case config.TimeoutUDP == 0:
		return errors.New("IPVS does not balance UDP (CONFIG_IP_VS_PROTO_UDP)")
	}
	if _, err := c.EnsureSettings(context.Background(), path, true); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w (CONFIG_IP_VS_NFCT)", err)
	} else if err != nil {
		return err
	}
	families := []bool{false}
	if _, err := os.Stat("/proc/sys/net/ipv6"); err == nil {
		families = append(families, true)
	}
	for _, v6 := range families {
		k := Marked(1, v6)
		_, err := c.Apply(context.Background(), Diff(nil, Table{k: NewService(s)}))
		switch {
		case errors.Is(err, unix.ENOENT):
			return fmt.Errorf("IPVS has no scheduler %s (CONFIG_IP_VS_%s, module ip_vs_%s)", s, strings.ToUpper(string(s)), s)
		case errors.Is(err, unix.EAFNOSUPPORT):
			return errors.New("IPVS does not balance IPv6 (CONFIG_IP_VS_IPV6)")
		case err != nil:
			return err
		}
	}
	return nil
}
