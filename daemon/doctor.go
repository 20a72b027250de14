package daemon

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent"
	"github.com/swarmnet/swarmnet/agent/session"
	"github.com/swarmnet/swarmnet/ca"
	"github.com/swarmnet/swarmnet/doctor"
	look "github.com/swarmnet/swarmnet/doctor/kernel"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// Told is what only a running daemon can say for doctor.
type Told struct {
	Degraded []swarmnet.DegradedPort // that it cannot publish
	Refused  map[string]uint64       // queries, by the name of their sandbox
	IPv6     bool                    // a network of this node's own has it
	Balancer agent.Balancing
}

// Doctor looks for what keeps this host's networks from working. It needs no running daemon: what it must know of the cluster it reads from
// the data directory. down is why the daemon does not answer; empty when it does, and then told is what it says.
func Doctor(ctx context.Context, cfg Config, down string, told Told) []doctor.Finding {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return []doctor.Finding{{Check: "daemon", Verdict: doctor.Wrong, Found: err.Error()}}
	}
	sight := look.Config{NetnsDir: filepath.Join(cfg.RunDir, "netns"), Port: swarmnet.DefaultDataPathPort}
	var cert *doctor.Cert
	var unseen []doctor.Finding
	rec, member, err := loadRecord(cfg.DataDir)
	if err != nil {
		f := doctor.Finding{Check: "cluster", Found: "cannot be looked at: " + err.Error()}
		if errors.Is(err, fs.ErrPermission) {
			f.Cure = "run it as root"
		}
		unseen = append(unseen, f)
	}
	if member {
		sight.VTEP, sight.Managers = rec.Addresses.VTEP, rec.Managers
		cert = certificate(filepath.Join(cfg.DataDir, "identity"))
		if set, err := session.Load(filepath.Join(cfg.DataDir, "agent", "assignments")); err == nil {
			know(&sight, set)
		}
	}
	sight.IPv6 = sight.IPv6 || told.IPv6
	f := look.Observe(ctx, sight)
	f.Daemon, f.Member, f.Cert = down, member, cert
	for _, p := range told.Degraded {
		f.Degraded = append(f.Degraded, p.Why)
	}
	f.Refused = told.Refused
	f.Balancer, f.BalancerWhy = balancing(down == "", told.Balancer)
	f.Unseen = append(f.Unseen, unseen...)
	return doctor.Examine(f)
}

// balancing is how the node balances and why, or how it would if a daemon that is told nothing else were started; a probe that fails is empty.
func balancing(runs bool, b agent.Balancing) (by, why string) {
	if !runs {
		var err error
		if b, err = agent.WouldBalance(); err != nil {
			return "", ""
		}
	}
	return b.String(), b.Why()
}

// kernelFeatures are the names of what the kernel has of what sandboxes and networks are made of. What it lacks is logged, with its cure.
func kernelFeatures(log *slog.Logger) []string {
	all, err := look.Features()
	if err != nil {
		log.Warn("what this kernel can do cannot be tried out: see `swarmnet doctor`", "err", err)
		return nil
	}
	var names []string
	for _, f := range all {
		if f.Err == "" {
			names = append(names, f.Name)
			continue
		}
		log.Warn("this kernel lacks something", "what", f.Name, "err", f.Err, "without", f.Spares, "cure", f.Cure)
	}
	return names
}

func certificate(dir string) *doctor.Cert {
	id, err := ca.Load(dir)
	if err != nil {
		return &doctor.Cert{Err: err.Error()}
	}
	end := id.Expiry()
	return &doctor.Cert{NotBefore: id.RenewAt().Add(-end.Sub(id.RenewAt())), NotAfter: end} // it is renewed half-way
}

// know takes over what the last assignments say of the cluster.
func know(c *look.Config, set swarmnet.AssignmentSet) {
	if set.Cluster.DataPathPort != 0 {
		c.Port = set.Cluster.DataPathPort
	}
	if len(set.Cluster.Managers) > 0 {
		c.Managers = set.Cluster.Managers
	}
	c.Self = set.Nodes[set.Self]
	for _, n := range set.Networks {
		if n.Spec.Ingress {
			c.Ingress = n.VNI
		}
		c.IPv6 = c.IPv6 || n.Spec.IPv6
	}
	for id, n := range set.Nodes {
		if id != set.Self {
			c.Nodes = append(c.Nodes, n)
		}
	}
	slices.SortFunc(c.Nodes, func(a, b swarmnet.Node) int { return cmp.Compare(a.Name(), b.Name()) })
}

func (s *localServer) Doctor(ctx context.Context, _ *pb.DoctorRequest) (*pb.DoctorResponse, error) {
	resp := &pb.DoctorResponse{}
	told := Told{Balancer: s.d.balancing}
	s.d.mu.Lock()
	a := s.d.agent
	s.d.mu.Unlock()
	if a != nil {
		told.Degraded, told.Refused = a.Degraded(), a.RefusedQueries()
	}
	for _, n := range s.d.local.Read().Networks {
		told.IPv6 = told.IPv6 || n.Spec.IPv6
	}
	for _, f := range Doctor(ctx, s.d.cfg, "", told) {
		resp.Findings = append(resp.Findings, &pb.Finding{Check: f.Check, Verdict: string(f.Verdict), Found: f.Found, Cure: f.Cure})
	}
	return resp, nil
}
