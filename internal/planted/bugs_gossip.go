package main

// gossipBugs are in the tables that the nodes spread among themselves.
func gossipBugs() []Bug {
	const dir = "gossip"
	return []Bug{{
		Name: "gossip-forget-withdrawal", File: dir + "/local.go",
		Old:  "			if ch.Deleted {\n				delete(rows, ch.Key)\n			} else {\n				rows[ch.Key] = ch.Value\n			}\n",
		New:  "			if !ch.Deleted {\n				rows[ch.Key] = ch.Value\n			}\n",
		Test: Test{dir, "TestEveryNodeEndsWithTheOwnersTruth|TestReceivedStatesAreTrueStates"},
		Why:  "A row that its owner withdrew stays for good.",
	}, {
		Name: "gossip-whole-state-adds", File: dir + "/table.go",
		Old:  "		c.batches, c.changes, c.bytes = nil, 0, 0\n",
		New:  "		c.changes, c.bytes = 0, 0\n",
		Test: Test{dir, "TestWholeStateDeletesWhatIsAbsent|TestReceivedStatesAreTrueStates"},
		Why:  "What a whole state leaves out is not deleted.",
	}, {
		Name: "gossip-accept-forgery", File: dir + "/table.go",
		Old:  "	if !t.opt.Verify(key, signedMessage(t.opt.Cluster, s.Payload), s.Signature) {",
		New:  "	if len(key) == 0 {",
		Test: Test{dir, "TestForgeriesAreRefused"},
		Why:  "A member writes rows in another's name.",
	}, {
		Name: "gossip-signature-of-any-cluster", File: dir + "/signed.go",
		Old:  "	m = append(append(append(m, signingPrefix...), cluster...), 0)\n",
		New:  "	m = append(append(m, signingPrefix...), 0)\n",
		Test: Test{dir, "TestForgeriesAreRefused"},
		Why:  "A batch of another cluster, with the same key, counts here.",
	}, {
		Name: "gossip-row-of-another-owner", File: dir + "/view.go",
		Old:  "	if !ok || row.Owner == owner {\n		return row, ok\n	}\n",
		New:  "	if true {\n		return row, ok\n	}\n",
		Test: Test{dir, "TestRowOfTwoOwners|TestUsable"},
		Why:  "A node says of another's endpoint that it is ready.",
	}, {
		Name: "gossip-skip-gap", File: dir + "/table.go",
		Old:  "	case b.From > 0 && (b.Version != have.Version || b.From != have.Seq):",
		New:  "	case b.From > 0 && b.Version != have.Version:",
		Test: Test{dir, "TestGapIsFilledBySince|TestReceivedStatesAreTrueStates"},
		Why:  "Changes are taken in though some before them are missing.",
	}, {
		Name: "gossip-digest-stands-still", File: dir + "/table.go",
		Old:  "	t.digest.replace(c.hash, c.head, s.Batch.head())\n",
		Test: Test{dir, "TestEveryNodeEndsWithTheOwnersTruth|TestHealIsQuick"},
		Why:  "Two tables that differ have one digest: repair finds nothing.",
	}, {
		Name: "gossip-keep-removed-owner", File: dir + "/table.go",
		Old:  "		delete(t.chains, id)\n",
		New:  "		_ = id\n",
		Test: Test{dir, "TestRemovedOwnersAreForgotten"},
		Why:  "The rows of a node that was removed stay.",
	}, {
		Name: "gossip-no-second-life", File: dir + "/table.go",
		Old:  "		t.own.outlive(b.Version)\n",
		Test: Test{dir, "TestRestartedOwnerOutlivesItsEarlierLife"},
		Why:  "Others take the rows of a node that lost its memory for old ones.",
	}, {
		Name: "gossip-no-quota", File: dir + "/table.go",
		Old:  "	if changes > q.Rows || size > q.Bytes {",
		New:  "	if size > 1<<40 {",
		Test: Test{dir, "TestQuota"},
		Why:  "One node fills the memory of all.",
	}, {
		Name: "gossip-death-takes-all", File: dir + "/usable.go",
		Old:  "	return doubtful\n",
		New:  "	return nil\n",
		Test: Test{dir, "TestUsable"},
		Why:  "A partition takes a service away whose tasks are well.",
	}, {
		Name: "gossip-serve-from-the-dead", File: dir + "/usable.go",
		Old:  "		if !inDoubt(set, view, ep.Node) {\n",
		New:  "		if true {\n",
		Test: Test{dir, "TestUsable"},
		Why:  "Connections are led to a node that is dead.",
	}}
}
