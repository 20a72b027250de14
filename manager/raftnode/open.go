package raftnode

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/swarmnet/swarmnet/manager/raftnode/seal"
	"github.com/swarmnet/swarmnet/manager/raftnode/snap"
	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
	"github.com/swarmnet/swarmnet/manager/raftnode/wal"
)

// Open reads what is on the disk and restores the state machine from it; Run then takes part. A directory that is empty
// makes a new group with Bootstrap, and otherwise a node that waits for a leader to find it.
func Open(cfg Config) (*Node, error) {
	cfg.defaults()
	if cfg.ID == 0 || cfg.FS == nil || cfg.Dir == "" || cfg.StateMachine == nil || cfg.Transport == nil {
		return nil, errors.New("raftnode: ID, FS, Dir, StateMachine and Transport must be given")
	}
	if len(cfg.Key) != seal.KeySize {
		return nil, fmt.Errorf("raftnode: the key has %d bytes: it must have %d", len(cfg.Key), seal.KeySize)
	}
	if err := cfg.FS.MkdirAll(cfg.Dir); err != nil {
		return nil, fmt.Errorf("raftnode: make %s: %w", cfg.Dir, err)
	}
	lock, err := cfg.FS.Lock(path.Join(cfg.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("raftnode: %w; stop the other one first", err)
	}
	n, err := open(cfg)
	if err != nil {
		lock.Close()
		return nil, wayOut(cfg.Dir, err)
	}
	n.lock = lock
	return n, nil
}

func open(cfg Config) (*Node, error) {
	if err := quarantined(cfg); err != nil {
		return nil, err
	}
	id := seal.Identity{Cluster: cfg.ClusterID, Member: cfg.ID}
	log, rec, err := wal.Open(wal.Config{FS: cfg.FS, Dir: path.Join(cfg.Dir, "log"), Key: cfg.Key, ID: id, SegmentSize: cfg.SegmentSize})
	if err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, wal: log,
		changes: make(chan LeaderChange, 1), moved: make(chan struct{}), work: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		appends: newQueue[appendJob](), applies: newQueue[applyJob](), images: newQueue[imageJob](),
	}
	if cfg.MustExist && rec.Last() == 0 && rec.Hard == (wal.HardState{}) {
		err = fmt.Errorf("%w: its log is gone", ErrQuarantined)
	} else {
		err = n.load(rec, id)
	}
	if err != nil {
		log.Close()
		return nil, err
	}
	return n, nil
}

// load restores the state machine and makes the core.
func (n *Node) load(rec *wal.Recovered, id seal.Identity) (err error) {
	var newest uint64
	if k := len(rec.Snapshots); k > 0 {
		newest = rec.Snapshots[k-1].Index
	}
	if n.snaps, err = snap.Open(snap.Config{FS: n.cfg.FS, Dir: n.snapDir(), Key: n.cfg.Key, ID: id}, newest); err != nil {
		return err
	}
	if rec.Torn > 0 {
		n.cfg.Logger.Warn("raft log ended in an unfinished write, which was cut off", "bytes", rec.Torn)
	}
	meta, err := n.restoreNewest(rec)
	if err != nil {
		return err
	}
	table, err := decodeMembers(meta.Members)
	if err != nil {
		return err
	}
	if n.cfg.Bootstrap && rec.Last() == 0 && rec.Hard == (wal.HardState{}) {
		if err := n.bootstrap(rec); err != nil {
			return err
		}
	}
	n.storage = newStorage(rec, meta)
	if n.core, err = newCore(&n.cfg, n.storage, table); err != nil {
		return err
	}
	n.core.full = n.wal.Full()
	n.core.campaignAlone()
	return nil
}

// restoreNewest restores the state machine from the newest snapshot that can be read. The older one does when the log
// reaches back to it.
func (n *Node) restoreNewest(rec *wal.Recovered) (snap.Meta, error) {
	var failed error
	for i := len(rec.Snapshots) - 1; i >= 0; i-- {
		p := rec.Snapshots[i]
		reaches := i == len(rec.Snapshots)-1 || len(rec.Entries) > 0 && rec.Entries[0].GetIndex() <= p.Index+1
		if !reaches {
			break
		}
		meta, err := n.restore(p)
		if err == nil {
			return meta, nil
		}
		n.cfg.Logger.Error("raft snapshot can't be read", "index", p.Index, "err", err)
		failed = errors.Join(failed, err)
	}
	if failed != nil {
		return snap.Meta{}, fmt.Errorf("%w: %w", ErrQuarantined, failed)
	}
	return snap.Meta{}, nil
}

// restore gives the state machine the image of one snapshot.
func (n *Node) restore(p wal.Pointer) (snap.Meta, error) {
	r, err := n.snaps.Read(p.Index, p.Term)
	if err != nil {
		return snap.Meta{}, err
	}
	defer r.Close()
	if err := n.cfg.StateMachine.Restore(r); err != nil {
		return snap.Meta{}, fmt.Errorf("restore the snapshot at %d: %w", p.Index, err)
	}
	// The digest is at the end: read on to it, if the state machine did not.
	if err := drain(r); err != nil {
		return snap.Meta{}, err
	}
	return r.Meta, nil
}

// bootstrap writes the log of a new group: one committed entry that makes this node its first voter.
func (n *Node) bootstrap(rec *wal.Recovered) error {
	p, err := newChange(pb.ConfChangeAddNode, Peer{ID: n.cfg.ID, NodeID: n.cfg.NodeID, Addr: n.cfg.Addr})
	if err != nil {
		return err
	}
	one := uint64(1)
	rec.Entries = []*pb.Entry{{Type: p.typ.Enum(), Term: &one, Index: &one, Data: p.data}}
	rec.Hard = wal.HardState{Term: 1, Commit: 1}
	return n.wal.Append(wal.Batch{Hard: &rec.Hard, Entries: rec.Entries}, true)
}

const quarantineFile = "quarantined"

func quarantined(cfg Config) error {
	why, err := vfs.ReadFile(cfg.FS, path.Join(cfg.Dir, quarantineFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", ErrQuarantined, why)
}

// Quarantine stops the node for good: it writes down why, and neither this run nor a later one takes part again.
func (n *Node) Quarantine(why string) error {
	n.stop(n.quarantineError(why))
	name := path.Join(n.cfg.Dir, quarantineFile)
	f, err := n.cfg.FS.Create(name)
	if err != nil {
		return fmt.Errorf("raftnode: quarantine: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(why), 0); err != nil {
		return fmt.Errorf("raftnode: quarantine: %w", err)
	}
	if err := errors.Join(f.Sync(), n.cfg.FS.SyncDir(n.cfg.Dir)); err != nil {
		return fmt.Errorf("raftnode: quarantine: %w", err)
	}
	return nil
}

// quarantine is Quarantine for the node's own goroutines: its error ends them.
func (n *Node) quarantine(why string) error {
	return errors.Join(n.quarantineError(why), n.Quarantine(why))
}

func (n *Node) quarantineError(why string) error {
	return wayOut(n.cfg.Dir, fmt.Errorf("%w: %s", ErrQuarantined, why))
}
