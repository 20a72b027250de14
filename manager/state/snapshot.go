package state

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"google.golang.org/protobuf/proto"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// A snapshot is a stream of pb.SnapshotItem, each with its length as an unsigned varint before it: the header, the objects
// with networks before what holds their addresses, the freed addresses, the entries, the footer.

const (
	snapshotVersion = 1
	maxItem         = 64 << 20 // octets
)

// Snapshot returns what writes an image of the State. Writing may take its time: the State does not change.
func (s *State) Snapshot() io.WriterTo { return snapshot{s} }

type snapshot struct{ s *State }

type itemWriter struct {
	w     *bufio.Writer
	n     int64
	items uint64
	buf   []byte
	err   error
}

func (w *itemWriter) item(m *pb.SnapshotItem) {
	if w.err != nil {
		return
	}
	w.items++
	b, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(w.buf[:0], m)
	if err != nil {
		w.err = err
		return
	}
	w.buf = b
	w.write(binary.AppendUvarint(nil, uint64(len(b))))
	w.write(b)
}

func (w *itemWriter) write(b []byte) {
	if w.err == nil {
		var n int
		n, w.err = w.w.Write(b)
		w.n += int64(n)
	}
}

// WriteTo writes the image.
func (i snapshot) WriteTo(out io.Writer) (int64, error) {
	s := i.s
	w := &itemWriter{w: bufio.NewWriterSize(out, 64<<10)}
	w.item(&pb.SnapshotItem{Item: &pb.SnapshotItem_Header{Header: &pb.SnapshotHeader{
		Version: snapshotVersion, Revision: s.revision, NextRaftId: s.nextRaftID, Entries: s.lastSeq}}})
	if c, ok := s.Cluster(); ok {
		w.item(&pb.SnapshotItem{Item: &pb.SnapshotItem_Cluster{Cluster: wire.ClusterToProto(c)}})
	}
	for v := range s.Networks() {
		w.item(&pb.SnapshotItem{Item: &pb.SnapshotItem_Network{Network: wire.NetworkToProto(v)}})
	}
	for v := range s.Nodes() {
		w.item(&pb.SnapshotItem{Item: &pb.SnapshotItem_Node{Node: wire.NodeToProto(v)}})
	}
	for v := range s.Services() {
		w.item(&pb.SnapshotItem{Item: &pb.SnapshotItem_Service{Service: wire.ServiceToProto(v)}})
	}
	for v := range s.Tasks() {
		w.item(&pb.SnapshotItem{Item: &pb.SnapshotItem_Task{Task: wire.TaskToProto(v)}})
	}
	for v := range s.Endpoints() {
		w.item(&pb.SnapshotItem{Item: &pb.SnapshotItem_Endpoint{Endpoint: wire.EndpointToProto(v)}})
	}
	for k, f := range s.freed.all() {
		network, addr := splitHolderKey(k)
		w.item(&pb.SnapshotItem{Item: &pb.SnapshotItem_Freed{Freed: &pb.FreedAddress{
			Network: network, Addr: keyAddr(addr).AsSlice(), Due: f.due, Revision: f.revision}}})
	}
	for _, id := range s.oldest.all() {
		e, _ := s.entries.get(id)
		m := &pb.AppliedEntry{Id: []byte(id), Sequence: e.sequence, Results: &pb.CommandResults{}}
		if err := proto.Unmarshal(e.results, m.Results); err != nil {
			return w.n, fmt.Errorf("write a snapshot of the state: %w", err)
		}
		w.item(&pb.SnapshotItem{Item: &pb.SnapshotItem_Entry{Entry: m}})
	}
	w.item(&pb.SnapshotItem{Item: &pb.SnapshotItem_Footer{Footer: &pb.SnapshotFooter{Items: w.items, Hash: s.Hash()}}})
	if w.err == nil {
		w.err = w.w.Flush()
	}
	if w.err != nil {
		return w.n, fmt.Errorf("write a snapshot of the state: %w", w.err)
	}
	return w.n, nil
}

// Restore reads an image. It returns an error and no State for one that is cut short, damaged or of another version.
func Restore(r io.Reader) (*State, error) {
	s, err := restore(bufio.NewReaderSize(r, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("restore the state: %w", err)
	}
	return s, nil
}

func restore(r *bufio.Reader) (*State, error) {
	l := loader{s: New()}
	l.x = tx{s: l.s, draft: true}
	var buf []byte
	for !l.done {
		size, err := binary.ReadUvarint(r)
		switch {
		case errors.Is(err, io.EOF):
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case size > maxItem:
			return nil, fmt.Errorf("an item of %d octets", size)
		}
		// The length is not to be believed before the octets are there.
		buf = buf[:0]
		for uint64(len(buf)) < size {
			at := len(buf)
			buf = append(buf, make([]byte, min(size-uint64(at), 64<<10))...)
			if _, err := io.ReadFull(r, buf[at:]); err != nil {
				return nil, io.ErrUnexpectedEOF
			}
		}
		var m pb.SnapshotItem
		if err := proto.Unmarshal(buf, &m); err != nil {
			return nil, err
		}
		if err := l.item(&m); err != nil {
			return nil, err
		}
	}
	return l.s, nil
}

// loader puts objects into a State as they are.
type loader struct {
	s     *State
	x     tx
	items uint64
	done  bool
}

func load[T any](l *loader, t *table[*item[T]], id string, v T, err error, entries func(*State, T, emit)) error {
	if err != nil {
		return err
	}
	if id == "" || t.has(id) {
		return fmt.Errorf("the id %q stands for two objects", id)
	}
	it := &item[T]{v: v, sum: digestObject(v)}
	t.set(id, it)
	l.s.hash += it.sum
	l.x.reindex(func(emit) {}, func(out emit) { entries(l.s, v, out) })
	return nil
}

func (l *loader) item(m *pb.SnapshotItem) error {
	if header := m.GetHeader(); (header != nil) != (l.items == 0) {
		return errors.New("the header is not where it should be")
	}
	l.items++
	switch m := m.GetItem().(type) {
	case *pb.SnapshotItem_Header:
		h := m.Header
		if h.GetVersion() != snapshotVersion {
			return fmt.Errorf("it has format %d, and this program reads format %d", h.GetVersion(), snapshotVersion)
		}
		l.s.revision, l.s.nextRaftID, l.s.lastSeq = h.GetRevision(), h.GetNextRaftId(), h.GetEntries()
	case *pb.SnapshotItem_Cluster:
		v, err := wire.ClusterFromProto(m.Cluster)
		if err != nil {
			return err
		}
		l.s.cluster = &item[swarmnet.Cluster]{v: v, sum: digestObject(v)}
		l.s.hash += l.s.cluster.sum
	case *pb.SnapshotItem_Network:
		v, err := wire.NetworkFromProto(m.Network)
		if err := load(l, &l.s.networks, string(v.ID), v, err, indexNetwork); err != nil {
			return err
		}
		l.x.openPools(v)
	case *pb.SnapshotItem_Node:
		v, err := wire.NodeFromProto(m.Node)
		return load(l, &l.s.nodes, string(v.ID), v, err, (*State).nodeEntries)
	case *pb.SnapshotItem_Service:
		v, err := wire.ServiceFromProto(m.Service)
		return load(l, &l.s.services, string(v.ID), v, err, indexService)
	case *pb.SnapshotItem_Task:
		v, err := wire.TaskFromProto(m.Task)
		return load(l, &l.s.tasks, string(v.ID), v, err, indexTask)
	case *pb.SnapshotItem_Endpoint:
		v, err := wire.EndpointFromProto(m.Endpoint)
		return load(l, &l.s.endpoints, string(v.ID), v, err, indexEndpoint)
	case *pb.SnapshotItem_Freed:
		a, ok := netip.AddrFromSlice(m.Freed.GetAddr())
		if !ok {
			return errors.New("a freed address is not an address")
		}
		l.x.remember(join(m.Freed.GetNetwork(), addrKey(a)), freed{due: m.Freed.GetDue(), revision: m.Freed.GetRevision()})
	case *pb.SnapshotItem_Entry:
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.Entry.GetResults())
		if err != nil {
			return err
		}
		l.x.keep(string(m.Entry.GetId()), entry{sequence: m.Entry.GetSequence(), results: b})
	case *pb.SnapshotItem_Footer:
		if m.Footer.GetItems() != l.items-1 {
			return fmt.Errorf("%d of %d items are there", l.items-1, m.Footer.GetItems())
		}
		if got := l.s.Hash(); got != m.Footer.GetHash() {
			return fmt.Errorf("its hash is %016x, and %016x was written", got, m.Footer.GetHash())
		}
		l.s.share()
		l.done = true
	default:
		return errors.New("an unknown item: it takes a newer version to read it")
	}
	return nil
}
