package agent

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/desired"
	"github.com/swarmnet/swarmnet/agent/executor/process"
	"github.com/swarmnet/swarmnet/agent/local"
	"github.com/swarmnet/swarmnet/agent/reconcile"
	"github.com/swarmnet/swarmnet/agent/session"
	"github.com/swarmnet/swarmnet/gossip/member"
	"github.com/swarmnet/swarmnet/ingress"
	"github.com/swarmnet/swarmnet/internal/changes"
	"github.com/swarmnet/swarmnet/internal/plan"
	"github.com/swarmnet/swarmnet/internal/pulse"
	"github.com/swarmnet/swarmnet/overlay"
)

const (
	// resyncEvery is how often what is in force is compared with the kernel: what it told nobody is put right within 5 s.
	resyncEvery = 4 * time.Second
	// parallelStarts bounds how many sandboxes and workloads are made at the same time, parallelUpdates how many are changed.
	parallelStarts  = 8
	parallelUpdates = 2
)

// Agent is one node's agent.
type Agent struct {
	cfg   Config
	parts parts
	key   ed25519.PrivateKey

	session *session.Session
	fabric  *reconcile.Loop[overlay.Desired]
	mesh    *reconcile.Loop[ingress.Mesh]
	starts  chan struct{} // one is held while a sandbox or a workload is made,
	updates chan struct{} // one while a sandbox is changed
	wake    chan struct{} // something that plan depends on has changed

	vnis       atomic.Pointer[map[swarmnet.VNI]bool] // of the networks that the fabric has
	fabricPace pace
	// What the kernel's telling is judged by: when the last look that found all well began, how long a pass takes; in nanoseconds.
	fabricClean, fabricCost atomic.Int64
	inForce                 atomic.Uint64 // the newest revision of the assignments that is
	lookAgain               atomic.Bool   // plan must look at the host itself, too
	drifts                  drifts
	orphans                 orphans         // used by plan alone
	readings                changes.Log     // likewise
	planner                 desired.Planner // likewise
	pruning                 atomic.Bool
	mtu                     int          // of the underlay, as last read by plan; 0: not yet
	pathMTU                 atomic.Int64 // of the largest packet that arrives at every other node; 0: not known
	toldMTU                 atomic.Int64 // to the managers; 0: nothing yet

	mu      sync.Mutex
	runners map[swarmnet.TaskID]*runner
	set     swarmnet.AssignmentSet // the last one that was planned for
	epoch   uint64                 // and the epoch that gossip was configured with
	live    bool                   // set came from a manager
	debts   []debt                 // acknowledgements, by revision
}

// New prepares an agent. Workloads that an earlier one started are held again from here on, whatever the managers say later.
func New(cfg Config) (*Agent, error) {
	cfg = cfg.withDefaults()
	for _, dir := range []string{cfg.DataDir, cfg.RunDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("agent: %w", err)
		}
	}
	var key ed25519.PrivateKey
	if cfg.Dial != nil {
		var err error
		if key, err = gossipKey(cfg.gossipKeyFile()); err != nil {
			return nil, err
		}
	}
	p, err := newParts(cfg, key)
	if err != nil {
		return nil, err
	}
	a := newAgent(cfg, p, key)
	a.parts.executor, err = process.New(process.Config{Dir: cfg.tasksDir(), Changed: a.workloadChanged, Logger: cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("agent: take up the running tasks: %w", err)
	}
	return a, nil
}

func newAgent(cfg Config, p parts, key ed25519.PrivateKey) *Agent {
	if p.doubts == nil {
		p.doubts = newDoubts(p.watcher.Hears)
	}
	a := &Agent{
		cfg: cfg, parts: p, key: key,
		starts:  make(chan struct{}, parallelStarts),
		updates: make(chan struct{}, parallelUpdates),
		wake:    make(chan struct{}, 1),
		runners: map[swarmnet.TaskID]*runner{},
		orphans: orphans{},
	}
	a.session = session.New(session.Config{
		Dial: cfg.Dial, Managers: cfg.Managers, Describe: a.describe, Path: cfg.assignmentsFile(), Diff: a.Diff, Logger: cfg.Logger,
	})
	a.fabric = reconcile.New(reconcile.Config[overlay.Desired]{
		Name: "networks", Apply: a.applyFabric, Slot: a.fabricPace.slot, Equal: overlay.Desired.Equal,
		Resync: cfg.resync, Single: true, Drift: a.driftOf(swarmnet.PartNetworks, ""), Done: a.planAgain(), Logger: cfg.Logger,
	})
	a.mesh = reconcile.New(reconcile.Config[ingress.Mesh]{
		Name: "published ports", Apply: a.applyMesh, Equal: ingress.Mesh.Equal,
		Resync: cfg.resync, Single: true, Drift: a.driftOf(swarmnet.PartPorts, ""), Done: a.planAgain(), Logger: cfg.Logger,
	})
	return a
}

// Run keeps the node as it must be until ctx ends. Then it lets go of everything and changes nothing: workloads run on, names
// wait, the data path stays as it is.
func (a *Agent) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if !a.standalone() {
		g.Go(func() error { return a.session.Run(ctx) })
		g.Go(func() error { return a.probePaths(ctx) })
	}
	g.Go(func() error { return a.parts.gossip.Run(ctx) })
	g.Go(func() error { return a.parts.resolver.Run(ctx) })
	g.Go(func() error { return a.fabric.Run(ctx) })
	g.Go(func() error { return a.mesh.Run(ctx) })
	g.Go(func() error { return a.watch(ctx) })
	g.Go(func() error { return a.plan(ctx) })
	err := g.Wait()
	if e, ok := a.parts.executor.(interface{ Close() }); ok {
		e.Close()
	}
	if f, ok := a.parts.fabric.(interface{ Close() }); ok {
		f.Close()
	}
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, a.parts.balancer.Close())
}

// plan computes what must be here whenever something that it depends on has changed, and hands it to those who see to it.
func (a *Agent) plan(ctx context.Context) error {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	resync := time.NewTimer(pulse.In(a.cfg.resync))
	defer resync.Stop()
	defer a.watchOwn()()
	look := true
	var pace pace
	for {
		began := time.Now()
		due := a.planOnce(ctx, &tasks, look)
		look = false
		pace.worked(began)
		if _, err := pace.slot(ctx); err != nil {
			return nil
		}
		timer := time.NewTimer(time.Until(due))
		if due.IsZero() {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.session.Changed():
		case <-a.parts.gossip.Changed():
		case <-a.wake:
			look = a.lookAgain.Swap(false)
		case <-timer.C:
		case <-resync.C:
			resync.Reset(pulse.In(a.cfg.resync))
			look = true
		}
		timer.Stop()
	}
}

// planOnce plans from what is known now. look has it see what has become of the host itself, too: its MTU, and things of ours that
// nobody assigned. It returns when the node's own things change by themselves.
func (a *Agent) planOnce(ctx context.Context, tasks *sync.WaitGroup, look bool) (due time.Time) {
	r, ok := a.assigned()
	if !ok {
		return due
	}
	look = a.take(r) || look
	own, due := a.own()
	if a.idle(own) {
		return due
	}
	mtu := a.underlayMTU(look)
	if mtu == 0 {
		return due // the next resync looks again
	}
	set, view := local.Merge(r.Set, own), a.parts.gossip.View()
	reading := a.readings.Next(set, view)
	want := a.planner.Compute(reading, desired.Local{UnderlayMTU: mtu, PathMTU: int(a.pathMTU.Load()), Stacks: own.Stacks})
	fabric := a.fabric.Set(want.Overlay)
	a.keepVNIs(want.Overlay)
	a.parts.resolver.Update(reading)
	a.assign(ctx, tasks, set, want, look)
	if look && r.Live {
		a.prune(ctx, tasks, want)
		a.PruneParents(ctx)
		a.pruneAttachments(ctx, tasks)
		a.giveBack(ctx, tasks, r.Set)
	}
	if vnis := a.vnis.Load(); vnis == nil || want.Mesh.VNI != 0 && !(*vnis)[want.Mesh.VNI] {
		return due // the mesh lives in the fabric and needs its network there
	}
	mesh := a.mesh.Set(want.Mesh)
	if !a.standalone() {
		a.owe(debt{r.Set.Revision, fabric, mesh})
	}
	return due
}

// underlayMTU reads the MTU if it has to; one that cannot be read is the last one, or 0.
func (a *Agent) underlayMTU(look bool) int {
	if look || a.mtu == 0 {
		mtu, err := a.parts.fabric.UnderlayMTU()
		if err != nil {
			a.cfg.Logger.Warn("the underlay's MTU cannot be read, going on with the last one", "last", a.mtu, "err", err)
			return a.mtu
		}
		if mtu != a.mtu {
			a.tellMTU(mtu)
		}
		a.mtu = mtu
	}
	return a.mtu
}

// take notices what a new set says of the node itself and of the gossip. It returns whether there is anything new.
func (a *Agent) take(r session.Reading) bool {
	epoch := r.Epoch
	if epoch == 0 { // no manager yet: rows of the last start's epoch are better than none
		epoch = r.Set.Nodes[r.Set.Self].Epoch
	}
	a.mu.Lock()
	same := a.live == r.Live && a.epoch == epoch && a.set.Revision == r.Set.Revision && a.set.Cluster.ID == r.Set.Cluster.ID && a.set.Cluster.Epoch == r.Set.Cluster.Epoch
	a.forgive(r)
	a.set, a.epoch, a.live = r.Set, epoch, r.Live
	a.mu.Unlock()
	if same || a.standalone() {
		return !same
	}
	settings := member.Settings{ClusterID: r.Set.Cluster.ID, Epoch: epoch, Keys: r.Set.Cluster.GossipKeys}
	for _, n := range r.Set.Nodes {
		if n.Description.GossipAddr.IsValid() {
			settings.Peers = append(settings.Peers, member.PeerInfo{
				NodeID: n.ID, GossipAddr: n.Description.GossipAddr, PubKey: n.Description.GossipPubKey,
			})
		}
	}
	if err := a.parts.gossip.Configure(settings); err != nil {
		a.cfg.Logger.Error("gossip refuses its settings", "err", err)
	}
	a.cfg.OnSet(r.Set)
	return true
}

func (a *Agent) applyFabric(ctx context.Context, d overlay.Desired) error {
	began := time.Now()
	remade, err := a.parts.fabric.Reconcile(ctx, d)
	if plan.From(ctx).IsDry() {
		return err
	}
	a.fabricPace.worked(began)
	if !a.parts.fabric.Looked().Before(began) {
		a.fabricCost.Store(int64(time.Since(began)))
	}
	if remade {
		a.refreshSandboxes()
	}
	if err != nil {
		return err
	}
	a.fabricClean.Store(a.parts.fabric.Looked().UnixNano())
	vnis := map[swarmnet.VNI]bool{}
	for _, n := range d.Networks {
		vnis[n.VNI] = true
	}
	a.vnis.Store(&vnis)
	return nil
}

func (a *Agent) applyMesh(ctx context.Context, m ingress.Mesh) error {
	if plan.From(ctx).IsDry() {
		err := a.parts.balancer.Mesh(ctx, m)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // that there is no fabric, its own part tells
		}
		return err
	}
	defer func() { a.session.Degraded(a.parts.balancer.Degraded()) }()
	return a.parts.balancer.Mesh(ctx, m)
}

// keepVNIs forgets networks that are about to go: should one come again, it must have been made again before anything is put on it.
func (a *Agent) keepVNIs(d overlay.Desired) {
	have := a.vnis.Load()
	if have == nil {
		return
	}
	kept := map[swarmnet.VNI]bool{}
	for _, n := range d.Networks {
		if (*have)[n.VNI] {
			kept[n.VNI] = true
		}
	}
	if len(kept) < len(*have) {
		a.vnis.CompareAndSwap(have, &kept)
	}
}

// planAgain plans after the attempts by which a loop got further, failed, or failed no more; one that found everything in force changes no plan.
func (a *Agent) planAgain() func(reconcile.Status) {
	var was reconcile.Status
	return func(st reconcile.Status) {
		if st.Applied != was.Applied || st.Failures != was.Failures {
			a.wakePlan()
		}
		was = st
	}
}

// describe is what the node tells the managers of itself.
func (a *Agent) describe() swarmnet.NodeDescription {
	d := swarmnet.NodeDescription{
		Hostname: a.cfg.Hostname, Version: a.cfg.Version, OS: runtime.GOOS, Arch: runtime.GOARCH,
		VTEP: a.cfg.VTEP, GossipAddr: a.cfg.GossipAddr, APIAddr: a.cfg.APIAddr,
		GossipPubKey: a.key.Public().(ed25519.PublicKey),
		Balancer:     a.cfg.Balancing.String(), BalancerWhy: a.cfg.Balancing.Why(), Features: a.cfg.Features,
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		d.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if mtu, err := a.parts.fabric.UnderlayMTU(); err == nil {
		d.UnderlayMTU = a.ownMTU(mtu)
		a.toldMTU.Store(int64(d.UnderlayMTU))
	}
	return d
}

// workloadChanged is called by the executor.
func (a *Agent) workloadChanged(id swarmnet.TaskID) {
	a.mu.Lock()
	r := a.runners[id]
	a.mu.Unlock()
	if r != nil {
		r.poke()
	}
}
