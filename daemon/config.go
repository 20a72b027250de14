package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/swarmnet/swarmnet"
)

// Config is what a daemon is started with. The zero value of a field means its default, as `swarmnet daemon --help` shows it.
type Config struct {
	DataDir    string // durable state; default /var/lib/swarmnet
	RunDir     string // state that a reboot may lose: sockets, namespaces, tasks; default /run/swarmnet
	SocketPath string // of the local API; default RunDir/swarmnet.sock
	// ListenAddr is the HOST:PORT of the managers' mTLS listener; default :4747, every address of either family.
	ListenAddr string
	// AdvertiseAddr is the HOST[:PORT] that other nodes are told; default: the host's only address.
	AdvertiseAddr string
	// DataPathAddr is the underlay address of VXLAN traffic; default: the advertised host.
	DataPathAddr string
	GossipPort   int    // default 7946
	Balancer     string // auto (the default), ipvs or nft
	// IPVSScheduler is how IPVS picks a task, a wish for IPVS; default: rr, and no wish.
	IPVSScheduler string
	// DNS are the servers that sandboxes' queries for outside names go to; default: those of ResolvConf.
	DNS        []netip.Addr
	ResolvConf string // default /etc/resolv.conf
	Hostname   string // default: the host's
	Logger     *slog.Logger
}

const (
	defaultListenAddr = ":4747"
	defaultGossipPort = 7946
)

// cniDir is beside the node's own networks, which what is in it serves.
func (c Config) cniDir() string { return filepath.Join(c.DataDir, "local", "cni") }

// withDefaults fills in what is not set and refuses what cannot work.
func (c Config) withDefaults() (Config, error) {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&c.DataDir, "/var/lib/swarmnet")
	set(&c.RunDir, "/run/swarmnet")
	set(&c.SocketPath, filepath.Join(c.RunDir, "swarmnet.sock"))
	set(&c.ListenAddr, defaultListenAddr)
	set(&c.ResolvConf, "/etc/resolv.conf")
	set(&c.Balancer, "auto")
	if c.GossipPort == 0 {
		c.GossipPort = defaultGossipPort
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Hostname == "" {
		name, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("cannot read the hostname (%w): give one with --hostname", err)
		}
		c.Hostname = name
	}
	if _, _, err := splitHostPort(c.ListenAddr, 0); err != nil {
		return c, fmt.Errorf("--listen-addr: %w", err)
	}
	return c, nil
}

// addresses are what a node tells the others of itself.
type addresses struct {
	Listen    string // HOST:PORT to listen on
	Advertise string // HOST:PORT of the managers' API
	VTEP      netip.Addr
}

// resolveAddresses chooses the node's addresses: what the request says, else the configuration, else what the host has.
func (c Config) resolveAddresses(listen, advertise string) (addresses, error) {
	if listen == "" {
		listen = c.ListenAddr
	}
	if advertise == "" {
		advertise = c.AdvertiseAddr
	}
	host, port, err := splitHostPort(listen, 4747)
	if err != nil {
		return addresses{}, fmt.Errorf("listen address: %w", err)
	}
	var adv netip.Addr
	advPort := port
	switch {
	case advertise != "":
		if adv, advPort, err = splitHostPort(advertise, port); err != nil {
			return addresses{}, fmt.Errorf("advertise address: %w", err)
		}
		if !adv.IsValid() || adv.IsUnspecified() {
			return addresses{}, fmt.Errorf("advertise address %q: other nodes cannot reach the unspecified address, name one of this host's", advertise)
		}
	case host.IsValid() && !host.IsUnspecified():
		adv = host
	default:
		if adv, err = onlyHostAddr(); err != nil {
			return addresses{}, err
		}
	}
	vtep := adv
	if c.DataPathAddr != "" {
		if vtep, err = netip.ParseAddr(c.DataPathAddr); err != nil {
			return addresses{}, fmt.Errorf("--data-path-addr %q is not an IP address", c.DataPathAddr)
		}
	}
	return addresses{
		Listen:    listenOn(host, port),
		Advertise: netip.AddrPortFrom(adv, advPort).String(),
		VTEP:      vtep,
	}, nil
}

// listenOn is what package net calls an address to listen on; the zero Addr is every address of the families that the host has.
func listenOn(host netip.Addr, port uint16) string {
	if !host.IsValid() {
		return net.JoinHostPort("", strconv.Itoa(int(port)))
	}
	return netip.AddrPortFrom(host, port).String()
}

// splitHostPort reads ADDRESS, ADDRESS:PORT or :PORT, which gives the zero Addr.
func splitHostPort(s string, defaultPort uint16) (netip.Addr, uint16, error) {
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return addr, defaultPort, nil
	}
	host, portText, err := net.SplitHostPort(s)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("%q is not ADDRESS:PORT", s)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return netip.Addr{}, 0, fmt.Errorf("%q: the port must be a number from 1 to 65535", s)
	}
	if host == "" {
		return netip.Addr{}, uint16(port), nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("%q: %q is not an IP address", s, host)
	}
	return addr.Unmap(), uint16(port), nil
}

// onlyHostAddr is the one global unicast address of the host; with several, somebody must choose.
func onlyHostAddr() (netip.Addr, error) {
	ifaces, err := net.Interfaces()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("cannot list the host's interfaces: %w", err)
	}
	var found []string
	var v4, v6 []netip.Addr
	for _, i := range ifaces {
		if i.Flags&net.FlagLoopback != 0 || i.Flags&net.FlagUp == 0 || strings.HasPrefix(i.Name, "swarmnet") || strings.HasPrefix(i.Name, "docker") {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // the interface has just gone
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil || !p.Addr().IsGlobalUnicast() {
				continue
			}
			found = append(found, p.Addr().String()+" ("+i.Name+")")
			if p.Addr().Is4() {
				v4 = append(v4, p.Addr())
			} else {
				v6 = append(v6, p.Addr())
			}
		}
	}
	switch {
	case len(v4) == 1:
		return v4[0], nil
	case len(v4) == 0 && len(v6) == 1:
		return v6[0], nil
	case len(found) == 0:
		return netip.Addr{}, errors.New("this host has no address that other nodes could reach: give one with --advertise-addr")
	}
	return netip.Addr{}, fmt.Errorf("this host has several addresses, %s: choose one with --advertise-addr", strings.Join(found, ", "))
}

// clusterSpec completes what `cluster init` was asked for with the defaults.
func clusterSpec(s swarmnet.ClusterSpec) swarmnet.ClusterSpec {
	d := swarmnet.DefaultClusterSpec()
	if len(s.AddrPools) > 0 {
		d.AddrPools = s.AddrPools
	}
	if s.DataPathPort != 0 {
		d.DataPathPort = s.DataPathPort
	}
	if s.CertExpiry != 0 {
		d.CertExpiry = s.CertExpiry
	}
	if s.HeartbeatPeriod != 0 {
		d.HeartbeatPeriod = s.HeartbeatPeriod
	}
	if s.DownAfter != 0 {
		d.DownAfter = s.DownAfter
	}
	if s.AddressRest != 0 {
		d.AddressRest = s.AddressRest
	}
	if s.TaskHistory != 0 {
		d.TaskHistory = s.TaskHistory
	}
	return d
}
