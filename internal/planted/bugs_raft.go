package main

// raftBugs are in the node that replicates the state.
func raftBugs() []Bug {
	const dir = "manager/raftnode"
	return []Bug{{
		Name: "raft-acknowledge-before-durable", File: dir + "/log.go",
		Old:  "		sync = sync || len(m.GetResponses()) > 0\n",
		Test: Test{dir, "TestChaos"},
		Why:  "Votes and acknowledgements go out before what they promise is on the disk.",
	}, {
		Name: "raft-sleeps-through-silence", File: dir + "/beat.go",
		Old:  "max(1, c.cfg.ElectionTicks-1-int(min(c.ticks-c.led, uint64(c.cfg.ElectionTicks))))",
		New:  "c.cfg.ElectionTicks - 1",
		Test: Test{dir, "TestRestful"},
		Why:  "A member whose leader is silent counts its ticks late, and campaigns late.",
	}, {
		Name: "raft-asks-for-no-answer", File: dir + "/transport/peer.go",
		Old:  "batch.NoAnswer = !quiet || time.Since(asked) < askAgain;",
		New:  "batch.NoAnswer = quiet || time.Since(asked) > askAgain;",
		Test: Test{dir + "/transport", "TestSenderAsksOnceAndGivesUp"},
		Why:  "A dead connection is never noticed.",
	}, {
		Name: "raft-makes-up-for-a-pause", File: dir + "/beat.go",
		Old:  "	if late := due - n.rest; late > 0 {\n",
		New:  "	if late := due - n.rest; late > 1000 {\n",
		Test: Test{dir, "TestCatchUp"},
		Why:  "A process that was held up campaigns before it has read what its leader sent meanwhile.",
	}, {
		Name: "raft-acknowledge-before-commit", File: dir + "/proposals.go",
		Old:  "			p.sent = c.ticks\n",
		New:  "			p.sent = c.ticks\n			defer c.proposals.finish(p.id, result{})\n",
		Test: Test{dir, "TestChaos"},
		Why:  "A proposal is answered when it was sent, not when it is committed.",
	}, {
		Name: "raft-vote-after-quarantine", File: dir + "/open.go",
		Old:  "	if errors.Is(err, fs.ErrNotExist) {\n		return nil\n	}\n	if err != nil {\n		return err\n	}\n	return fmt.Errorf(\"%w: %s\"",
		New:  "	if err == nil || errors.Is(err, fs.ErrNotExist) {\n		return nil\n	}\n	return fmt.Errorf(\"%w: %s\"",
		Test: Test{dir, "TestQuarantine"},
		Why:  "A quarantined member takes part again after a restart.",
	}, {
		Name: "raft-forget-own-past", File: dir + "/open.go",
		Old:  "if cfg.MustExist && rec.Last() == 0",
		New:  "if false && rec.Last() == 0",
		Test: Test{dir, "TestMustExist"},
		Why:  "A member whose directory was emptied votes a second time in a term.",
	}, {
		Name: "raft-read-too-early-alone", File: dir + "/reads.go",
		Old:  " || len(r.asked) >= maxReads || c.leading && !c.current() {",
		New:  " || len(r.asked) >= maxReads {",
		Test: Test{dir, "TestReadAfterRestartAlone"},
		Why:  "A leader answers reads before it knows how far its group had committed.",
	}, {
		Name: "raft-read-before-applied", File: dir + "/reads.go",
		Old:  "	r.applies[rs.Index] = append(r.applies[rs.Index], q.waiters...)\n	r.appliedTo(applied)\n",
		New:  "	r.applies[0] = append(r.applies[0], q.waiters...)\n	r.appliedTo(applied)\n",
		Test: Test{dir, "TestChaos"},
		Why:  "A read returns when the commit index is known, not when it is applied.",
	}, {
		Name: "raft-forget-lost-proposals", File: dir + "/core.go",
		Old:  "	c.proposals.again()\n",
		Test: Test{dir, "TestScripts/failover"},
		Why:  "A proposal that a lost leader swallowed waits long for its second try.",
	}, {
		Name: "raft-reuse-number", File: dir + "/members.go",
		Old:  "	case m.removed[p.ID]:",
		New:  "	case false:",
		Test: Test{dir, "TestScripts/members"},
		Why:  "A removed member's number is given again, and with it votes that it forgot.",
	}, {
		Name: "raft-remove-last-voter", File: dir + "/members.go",
		Old:  "if have.voter && m.voters() == 1 {",
		New:  "if false {",
		Test: Test{dir, "TestScripts/members"},
		Why:  "The last voter is removed, and the group is lost for good.",
	}, {
		Name: "raft-entries-on-full-disk", File: dir + "/core.go",
		Old:  "	case m.GetType() == pb.MsgProp && c.full, m.GetType() == pb.MsgApp && len(m.GetEntries()) > 0 && c.full:\n		return nil // what is left of the disk is for votes\n",
		Test: Test{dir, "TestScripts/diskfull"},
		Why:  "Entries use up the rest of a full disk, so that no vote fits.",
	}, {
		Name: "raft-snapshot-of-old-members", File: dir + "/storage.go",
		Old:  "if s.snap.Index == 0 || s.snap.Index < s.confIndex || s.snap.Index < s.base.Index {",
		New:  "if s.snap.Index == 0 || s.snap.Index < s.base.Index {",
		Test: Test{dir, "TestScripts|TestChaos"},
		Why:  "A member is sent a snapshot that does not name it, which raft refuses for ever.",
	}, {
		Name: "raft-apply-after-image", File: dir + "/log.go",
		Old:  "	if err := n.applyWaiting(); err != nil {\n		return err\n	}\n	p := wal.Pointer",
		New:  "	p := wal.Pointer",
		Test: Test{dir, "TestInstallAfterWhatWaits"},
		Why:  "Entries from before the leader's image are applied on top of it.",
	}, {
		Name: "audit-without-majority", File: dir + "/audit.go",
		Old:  "		if n > voters/2 {",
		New:  "		if n > 0 {",
		Test: Test{dir, "TestAudit"},
		Why:  "One other manager's word is enough to drive a good one out.",
	}, {
		Name: "audit-hash-out-of-step", File: dir + "/apply.go",
		Old:  "				if err := flush(); err != nil {\n					return out, err\n				}\n				if hasher",
		New:  "				if hasher",
		Test: Test{dir, "TestChaos|TestAudit"},
		Why:  "Replicas hash their states at different entries and take each other for wrong.",
	}, {
		Name: "audit-compare-builds", File: dir + "/audit.go",
		Old:  "if k.build == c.cfg.Build && k.hash != one.mine {",
		New:  "if k.hash != one.mine {",
		Test: Test{dir, "TestAuditComparesOneBuildOnly"},
		Why:  "An upgrade drives out the first manager that gets it.",
	}, {
		Name: "manager-keep-number-without-log", File: "manager/seat_join.go",
		Old:  "	return err != nil || len(names) > 0\n",
		New:  "	return err != nil || len(names) >= 0\n",
		Test: Test{"manager", "TestAudit"},
		Why:  "A manager whose log was removed comes back under the number whose votes it forgot.",
	}}
}
