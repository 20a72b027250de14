package main

// logBugs are in the log and the snapshots on the disk.
func logBugs() []Bug {
	const dir = "manager/raftnode/wal"
	return []Bug{{
		Name: "wal-skip-fsync", File: dir + "/wal.go",
		Old:  "	if err := l.file.Sync(); err != nil {\n		return l.fail(\"sync\", err)\n	}\n	l.synced",
		New:  "	l.synced",
		Test: Test{dir, "TestEveryPrefixOfWrites"},
		Why:  "Append says that entries are durable which the power takes away.",
	}, {
		Name: "wal-retry-fsync", File: dir + "/wal.go",
		Old:  "	l.failed = fmt.Errorf(\"wal: %s %s: %w: %w\", verb, l.cfg.Dir, ErrStopped, err)\n	return l.failed",
		New:  "	return fmt.Errorf(\"wal: %s %s: %w: %w\", verb, l.cfg.Dir, ErrStopped, err)",
		Test: Test{dir, "TestFailedSyncStops"},
		Why:  "A sync is tried again after one that failed; the kernel has dropped the pages and says that all is well.",
	}, {
		Name: "wal-no-chain", File: dir + "/recover.go",
		Old:  "if !fresh && (h.seq != l.seq+1 || h.prev != l.prev) {",
		New:  "if !fresh && h.seq != l.seq+1 {",
		Test: Test{dir, "TestChain|TestMovedFrame"},
		Why:  "A frame is taken that does not follow on the one before it.",
	}, {
		Name: "wal-cut-any-tail", File: dir + "/recover.go",
		Old:  "if !newest || witness(b[off:], l.seq+1) {",
		New:  "if !newest {",
		Test: Test{dir, "TestBitFlips"},
		Why:  "A damaged frame is cut like a torn write, with the durable ones behind it.",
	}, {
		Name: "wal-ignore-head", File: dir + "/recover.go",
		Old:  "		if l.seq < h.seq {\n			return nil, t, fmt.Errorf(\"%w: it ends at frame %d of %d\", ErrDamaged, l.seq, h.seq)\n		}\n",
		Test: Test{dir, "TestMissingParts|TestBitFlips"},
		Why:  "A log that lost its end is taken for a whole one.",
	}, {
		Name: "wal-no-witness", File: dir + "/wal.go",
		Old:  "	if err := l.write(nil); err != nil {\n		return l.fail(\"write\", err)\n	}\n	return nil\n}\n\n// note",
		New:  "	return nil\n}\n\n// note",
		Test: Test{"manager/raftnode", "TestFlipInNewestFrame"},
		Why:  "Damage to the newest durable frame passes for a torn write: an acknowledged entry is lost in silence.",
	}, {
		Name: "wal-torn-tail-stays", File: dir + "/recover.go",
		Old:  "	return errors.Join(f.Truncate(end), f.Sync())",
		New:  "	return f.Sync()",
		Test: Test{dir, "TestTornTail"},
		Why:  "What a crash has torn stays at the end of a segment, where a later start takes it for damage.",
	}, {
		Name: "wal-name-before-content", File: dir + "/segment.go",
		Old:  "	if err := f.Sync(); err != nil {\n		return err\n	}\n	tmp :=",
		New:  "	tmp :=",
		Test: Test{dir, "TestEveryPrefixOfWrites"},
		Why:  "A segment has its name before its first frame is durable.",
	}, {
		Name: "snapshot-skip-fsync", File: "manager/raftnode/snap/writer.go",
		Old:  "	if err := w.file.Sync(); err != nil {\n		return err\n	}\n",
		Test: Test{"manager/raftnode/snap", "TestCrash"},
		Why:  "A snapshot has its name before its content is durable.",
	}, {
		Name: "snapshot-skip-dir-fsync", File: "manager/raftnode/snap/writer.go",
		Old:  "	return fs.SyncDir(w.store.cfg.Dir)",
		New:  "	return nil",
		Test: Test{"manager/raftnode/snap", "TestCrash"},
		Why:  "The log counts on a snapshot whose name the power takes away.",
	}}
}
