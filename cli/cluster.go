package cli

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/ca"
	"github.com/swarmnet/swarmnet/cli/parse"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

func (a *app) clusterCmd() *cobra.Command {
	cmd := group(&cobra.Command{Use: "cluster", Short: "Make, join and leave a cluster (docker swarm)"})
	cmd.AddCommand(a.clusterInitCmd(), a.clusterJoinCmd(), a.clusterLeaveCmd(), a.clusterInfoCmd(), a.joinTokenCmd(), a.clusterUpdateCmd(), a.adminCertCmd())
	return cmd
}

// clusterFlags are the flags of init and update.
type clusterFlags struct {
	pools                       []string
	poolSize                    int
	certExpiry, heartbeat, rest time.Duration
	downAfter                   time.Duration
	history                     uint32
	dataPathPort                uint16
}

func (f *clusterFlags) add(cmd *cobra.Command) {
	d := swarmnet.DefaultClusterSpec()
	fl := cmd.Flags()
	fl.StringArrayVar(&f.pools, "default-addr-pool", nil, "pool that subnets are taken from, IPv4 or IPv6; repeatable (default "+d.AddrPools[0].Base.String()+" and unique local IPv6 addresses)")
	fl.IntVar(&f.poolSize, "default-addr-pool-mask-length", d.AddrPools[0].Size, "prefix length of the IPv4 subnets; IPv6 ones have 64")
	fl.DurationVar(&f.certExpiry, "cert-expiry", d.CertExpiry, "life of worker certificates; managers' have half of it")
	fl.DurationVar(&f.heartbeat, "dispatcher-heartbeat", d.HeartbeatPeriod, "period of the agents' heartbeats")
	fl.DurationVar(&f.downAfter, "node-down-after", d.DownAfter, "how long a node may be away before its tasks are replaced")
	fl.DurationVar(&f.rest, "address-rest", d.AddressRest, "how long a freed address rests before it is given out again")
	fl.Uint32Var(&f.history, "task-history-limit", d.TaskHistory, "ended tasks kept of each slot")
}

// pool is one with subnets of the length that was asked for; those of an IPv6 pool have 64 bits (RFC 4291 section 2.5.1), or all that the pool has.
func (f *clusterFlags) pool(base netip.Prefix) swarmnet.AddrPool {
	if base.Addr().Is6() {
		return swarmnet.AddrPool{Base: base, Size: max(64, base.Bits())}
	}
	return swarmnet.AddrPool{Base: base, Size: f.poolSize}
}

// apply puts the flags that were given into a spec.
func (f *clusterFlags) apply(cmd *cobra.Command, s *swarmnet.ClusterSpec) error {
	given := cmd.Flags().Changed
	if given("default-addr-pool") {
		s.AddrPools = nil
		for _, text := range f.pools {
			p, err := parse.Prefix("default-addr-pool", text)
			if err != nil {
				return usageError{err}
			}
			s.AddrPools = append(s.AddrPools, f.pool(p))
		}
	} else if given("default-addr-pool-mask-length") {
		if len(s.AddrPools) == 0 {
			s.AddrPools = swarmnet.DefaultClusterSpec().AddrPools
		}
		pools := make([]swarmnet.AddrPool, len(s.AddrPools))
		for i, p := range s.AddrPools {
			pools[i] = f.pool(p.Base)
		}
		s.AddrPools = pools
	}
	set := func(name string, to *time.Duration, v time.Duration) error {
		if given(name) {
			if v <= 0 {
				return usagef("--%s %v: a duration above 0 is wanted", name, v)
			}
			*to = v
		}
		return nil
	}
	for _, d := range []struct {
		name string
		to   *time.Duration
		v    time.Duration
	}{{"cert-expiry", &s.CertExpiry, f.certExpiry}, {"dispatcher-heartbeat", &s.HeartbeatPeriod, f.heartbeat},
		{"node-down-after", &s.DownAfter, f.downAfter}, {"address-rest", &s.AddressRest, f.rest}} {
		if err := set(d.name, d.to, d.v); err != nil {
			return err
		}
	}
	if given("task-history-limit") {
		s.TaskHistory = f.history
	}
	if given("data-path-port") {
		s.DataPathPort = f.dataPathPort
	}
	return nil
}

func parseAvailability(s string) (pb.Availability, error) {
	v, err := swarmnet.ParseAvailability(s)
	if err != nil {
		return 0, usageError{fmt.Errorf("--availability: %w", err)}
	}
	return wire.AvailabilityToProto(v), nil
}

func (a *app) clusterInitCmd() *cobra.Command {
	var (
		f                               clusterFlags
		listen, advertise, availability string
	)
	cmd := &cobra.Command{Use: "init", Short: "Make a cluster with this node as its first manager", Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
		var spec swarmnet.ClusterSpec
		if err := f.apply(cmd, &spec); err != nil {
			return err
		}
		av, err := parseAvailability(availability)
		if err != nil {
			return err
		}
		local, err := a.local(cmd.Context())
		if err != nil {
			return err
		}
		r, err := local.Init(cmd.Context(), &pb.InitRequest{Spec: wire.ClusterSpecToProto(spec), ListenAddr: listen, AdvertiseAddr: advertise, Availability: av})
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "Cluster initialized: current node (%s) is now a manager.\n\nTo add a worker to this cluster, run on its host:\n\n    swarmnet cluster join --token %s %s\n\nTo add a manager, run `swarmnet cluster join-token manager` and follow what it says.\n",
			r.GetNodeId(), r.GetWorkerToken(), r.GetAdvertiseAddr())
		return nil
	}}
	f.add(cmd)
	cmd.Flags().Uint16Var(&f.dataPathPort, "data-path-port", swarmnet.DefaultDataPathPort, "UDP port of VXLAN traffic")
	joinFlags(cmd, &listen, &advertise, &availability)
	return cmd
}

func joinFlags(cmd *cobra.Command, listen, advertise, availability *string) {
	cmd.Flags().StringVar(listen, "listen-addr", "", "HOST:PORT to listen on (default: the daemon's)")
	cmd.Flags().StringVar(advertise, "advertise-addr", "", "HOST[:PORT] that others are told (default: the daemon's)")
	cmd.Flags().StringVar(availability, "availability", "active", "active, pause or drain")
}

func (a *app) clusterJoinCmd() *cobra.Command {
	var token, listen, advertise, availability string
	cmd := &cobra.Command{Use: "join --token TOKEN HOST:PORT…", Short: "Join this node to a cluster", Args: atLeast("HOST:PORT"), RunE: func(cmd *cobra.Command, args []string) error {
		if token == "" {
			return usagef("--token is missing: `swarmnet cluster join-token worker` on a manager shows it")
		}
		av, err := parseAvailability(availability)
		if err != nil {
			return err
		}
		remotes := make([]string, len(args))
		for i, arg := range args {
			if remotes[i], err = remote(arg); err != nil {
				return err
			}
		}
		local, err := a.local(cmd.Context())
		if err != nil {
			return err
		}
		r, err := local.JoinCluster(cmd.Context(), &pb.JoinClusterRequest{Token: token, Remotes: remotes, ListenAddr: listen, AdvertiseAddr: advertise, Availability: av})
		if err != nil {
			return err
		}
		role, err := wire.RoleFromProto(r.GetRole())
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "This node joined a cluster as a %s.\n", role)
		return nil
	}}
	cmd.Flags().StringVar(&token, "token", "", "join token")
	joinFlags(cmd, &listen, &advertise, &availability)
	return cmd
}

// remote completes a manager's address with the default port.
func remote(s string) (string, error) {
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(addr, 4747).String(), nil
	}
	if i := strings.LastIndexByte(s, ':'); i > 0 && i < len(s)-1 {
		return s, nil
	}
	if s == "" || strings.HasSuffix(s, ":") || strings.HasPrefix(s, ":") {
		return "", usagef("%q is not a manager's address: HOST:PORT is wanted", s)
	}
	return s + ":4747", nil
}

func (a *app) clusterLeaveCmd() *cobra.Command {
	var force bool
	cmd := &cobra.Command{Use: "leave", Short: "Leave the cluster", Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
		local, err := a.local(cmd.Context())
		if err != nil {
			return err
		}
		if _, err := local.Leave(cmd.Context(), &pb.LeaveRequest{Force: force}); err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, "Node left the cluster.")
		return nil
	}}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "leave although the node is a manager")
	return cmd
}

func (a *app) joinTokenCmd() *cobra.Command {
	var rotate, quiet bool
	cmd := &cobra.Command{Use: "join-token worker|manager", Short: "Show or replace a join token", Args: exactly("worker|manager"), ValidArgs: []string{"worker", "manager"}, RunE: func(cmd *cobra.Command, args []string) error {
		role, err := swarmnet.ParseRole(args[0])
		if err != nil {
			return usageError{err}
		}
		control, err := a.control(cmd.Context())
		if err != nil {
			return err
		}
		r, err := control.GetJoinToken(cmd.Context(), &pb.GetJoinTokenRequest{Role: wire.RoleToProto(role), Rotate: rotate})
		if err != nil {
			return err
		}
		if quiet {
			fmt.Fprintln(a.stdout, r.GetToken())
			return nil
		}
		addr := "HOST:4747"
		if info, err := a.info(cmd.Context()); err == nil && info.GetAdvertiseAddr() != "" {
			addr = info.GetAdvertiseAddr()
		}
		if rotate {
			fmt.Fprintf(a.stdout, "The %s join token was replaced; the old one is void.\n\n", role)
		}
		fmt.Fprintf(a.stdout, "To add a %s to this cluster, run on its host:\n\n    swarmnet cluster join --token %s %s\n", role, r.GetToken(), addr)
		return nil
	}}
	cmd.Flags().BoolVar(&rotate, "rotate", false, "replace the token")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "the token alone")
	return cmd
}

func (a *app) clusterUpdateCmd() *cobra.Command {
	var f clusterFlags
	cmd := &cobra.Command{Use: "update", Short: "Change the cluster's settings", Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
		control, err := a.control(cmd.Context())
		if err != nil {
			return err
		}
		m, err := control.GetCluster(cmd.Context(), &pb.GetClusterRequest{})
		if err != nil {
			return err
		}
		c, err := wire.ClusterFromProto(m)
		if err != nil {
			return err
		}
		if err := f.apply(cmd, &c.Spec); err != nil {
			return err
		}
		if _, err := control.UpdateCluster(cmd.Context(), &pb.UpdateClusterRequest{Spec: wire.ClusterSpecToProto(c.Spec)}); err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, "Cluster updated.")
		return nil
	}}
	f.add(cmd)
	return cmd
}

func (a *app) adminCertCmd() *cobra.Command {
	out := "swarmnet-admin"
	cmd := &cobra.Command{Use: "admin-cert", Short: "Write a certificate with which --host HOST:PORT works from elsewhere", Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
		conn, err := a.dial(cmd.Context())
		if err != nil {
			return err
		}
		cert, key, root, err := ca.AdminCert(cmd.Context(), conn)
		if err != nil {
			return err
		}
		if err := os.Mkdir(out, 0o700); err != nil {
			return fmt.Errorf("cannot make a new directory for the certificate (%w): name another with --output", err)
		}
		for name, b := range map[string][]byte{"cert.pem": cert, "key.pem": key, "ca.pem": root} {
			if err := os.WriteFile(filepath.Join(out, name), b, 0o600); err != nil {
				return fmt.Errorf("cannot write the certificate: %w", err)
			}
		}
		fmt.Fprintln(a.stdout, out)
		return nil
	}}
	cmd.Flags().StringVarP(&out, "output", "o", out, "directory to make")
	return cmd
}
