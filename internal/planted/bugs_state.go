package main

// stateBugs are in the replicated state.
func stateBugs() []Bug {
	const dir = "manager/state"
	return []Bug{{
		Name: "state-forget-dedupe", File: dir + "/apply.go",
		Old:  "; ok {\n		results, err := e.results.decode()",
		New:  "; ok && false {\n		results, err := e.results.decode()",
		Test: Test{dir, "TestEntryWindow"},
		Why:  "An entry that was proposed again is applied twice.",
	}, {
		Name: "state-give-resting-address", File: dir + "/address.go",
		Old:  "; ok && f.due > unixNano(x.m.At) {",
		New:  "; ok && f.due < 0 {",
		Test: Test{dir, "TestAddressRests"},
		Why:  "An address is given to another while old neighbours still have it in their tables.",
	}, {
		Name: "state-plan-resting-address", File: dir + "/address.go",
		Old:  "		if at.After(now) {\n			return netip.Addr{}, at\n		}\n",
		New:  "		_, _ = at, now\n",
		Test: Test{dir, "TestPoolWaitsForARest"},
		Why:  "The allocator proposes addresses that still rest, over and over.",
	}, {
		Name: "state-forget-freeing", File: dir + "/apply_task.go",
		Old:  "	x.putTask(t)\n	for _, e := range x.s.endpointsOf(t.ID) {\n		x.deleteEndpoint(e.ID)\n	}\n}\n\nfunc (c SetTaskMessage)",
		New:  "	x.putTask(t)\n}\n\nfunc (c SetTaskMessage)",
		Test: Test{"manager/planner", "TestScripts"},
		Why:  "A task that ended keeps its addresses until it is forgotten.",
	}, {
		Name: "state-two-holders", File: dir + "/address.go",
		Old:  "		return reject(FailedPrecondition, \"address %s of network %s is held by %s\", a, n.Spec.Name, x.s.holding(h))\n",
		New:  "		return nil\n",
		Test: Test{dir, "TestRefusals|TestServiceGuards"},
		Why:  "A virtual address is also a task's.",
	}, {
		Name: "state-vip-twice", File: dir + "/apply_service.go",
		Old:  "if slices.Contains(c.VIPs[:i], vip) {",
		New:  "if i < 0 {",
		Test: Test{dir, "TestServiceGuards"},
		Why:  "A service is given one address twice.",
	}, {
		Name: "state-two-services-on-a-port", File: dir + "/apply_service.go",
		Old:  "if other == string(id) || p.Mode",
		New:  "if other != \"\" || p.Mode",
		Test: Test{dir, "TestServiceGuards"},
		Why:  "Two services publish one port, and each node leads to another of them.",
	}, {
		Name: "state-status-falls", File: dir + "/apply_task.go",
		Old:  "old.Terminal() || c.Status.State < old || c.Status == t.Status {",
		New:  "old == c.Status.State && c.Status == t.Status {",
		Test: Test{dir, "TestTaskStatesOnlyRise"},
		Why:  "A report that was late on its way raises the dead.",
	}, {
		Name: "state-old-agent-acknowledges", File: dir + "/apply_session.go",
		Old:  "n.Epoch != c.Epoch || c.Revision <= n.Applied {",
		New:  "c.Revision <= n.Applied {",
		Test: Test{dir, "TestAcknowledge"},
		Why:  "What an agent had in force counts for its successor, which began with an older set.",
	}, {
		Name: "state-old-agent-reports", File: dir + "/apply_task.go",
		Old:  "!ok || c.Epoch != 0 && c.Epoch != n.Epoch {",
		New:  "!ok || n.ID == \"\" {",
		Test: Test{dir, "TestTaskStatesOnlyRise"},
		Why:  "An agent that was replaced still says how tasks are.",
	}, {
		Name: "state-hash-forgets-a-rest", File: dir + "/address.go",
		Old:  "	x.s.hash -= digestFreed(key, f)\n",
		Test: Test{dir, "TestPoolWaitsForARest"},
		Why:  "The hash of a state depends on how it came about: snapshots do not open, replicas quarantine each other.",
	}, {
		Name: "state-shared-tables", File: dir + "/table.go",
		Old:  "func (t *table[V]) share() { t.own = false }",
		New:  "func (t *table[V]) share() {}",
		Test: Test{dir, "TestConcurrentUse|TestEntryWindow"},
		Why:  "A state changes under those who read it.",
	}, {
		Name: "state-reuse-raft-number", File: dir + "/apply_node.go",
		Old:  "		x.s.nextRaftID++\n",
		Test: Test{dir, "TestManagerGuards"},
		Why:  "Two managers get one number in the group.",
	}, {
		Name: "state-demote-the-last-manager", File: dir + "/apply_node.go",
		Old:  "	case left == 0:",
		New:  "	case left < 0:",
		Test: Test{dir, "TestManagerGuards"},
		Why:  "The last manager is demoted, and nobody can undo it.",
	}, {
		Name: "state-lost-update", File: dir + "/apply_service.go",
		Old:  "	if c.Version != 0 && c.Version != v.Meta.Updated {",
		New:  "	if false {",
		Test: Test{dir, "TestServiceGuards"},
		Why:  "One of two admins who change a service at a time loses the change in silence.",
	}, {
		Name: "state-snapshot-without-rests", File: dir + "/snapshot.go",
		Old:  "	for k, f := range s.freed.all() {",
		New:  "	for k, f := range (&table[freed]{}).all() {",
		Test: Test{"manager/planner", "TestRandomSessions"},
		Why:  "A manager that starts from a snapshot forgets which addresses rest.",
	}}
}
