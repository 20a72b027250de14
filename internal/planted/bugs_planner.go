package main

// plannerBugs are in the planners and in what agents are told.
func plannerBugs() []Bug {
	scripts := Test{"manager/planner", "TestScripts"}
	return []Bug{{
		Name: "orchestrator-host-ports-start-first", File: "manager/orchestrator/rollout.go",
		Old:  "	if len(state.HostPorts(s.Ports)) > 0 {\n		r.order",
		New:  "	if false {\n		r.order",
		Test: scripts,
		Why:  "The update of a service whose ports of the hosts are taken on every node, by itself, never ends.",
	}, {
		Name: "external-join-any-service", File: "manager/state/member.go",
		Old:  "	case v.Spec.Mode != swarmnet.External:",
		New:  "	case false:",
		Test: scripts,
		Why:  "Any node lets a sandbox of its own take connections of a service of tasks.",
	}, {
		Name: "external-drained-by-another-node", File: "manager/state/member.go",
		Old:  "	case t.Node != c.Node:",
		New:  "	case false:",
		Test: scripts,
		Why:  "A node takes another's sandbox out of its service.",
	}, {
		Name: "external-drains-for-good", File: "manager/state/member.go",
		Old:  "		if anew && !st.State.Terminal() {",
		New:  "		if false {",
		Test: scripts,
		Why:  "A sandbox that was stopped once is no part of its service when it runs again.",
	}, {
		Name: "allocator-map-order", File: "manager/allocator/plan.go",
		Old: "	slices.SortFunc(todo, func(a, b swarmnet.Network) int { return cmp.Compare(a.Meta.Created, b.Meta.Created) })\n",
		New: `	unordered := map[swarmnet.NetworkID]swarmnet.Network{}
	for _, n := range todo {
		unordered[n.ID] = n
	}
	todo = todo[:0]
	for _, n := range unordered {
		todo = append(todo, n)
	}
`,
		Test: Test{"manager/planner", "TestScripts|TestRandomSessions|TestSameView"},
		Why:  "One view gives other commands each time: a new leader undoes what the old one began.",
	}, {
		Name: "allocator-new-vip-at-update", File: "manager/allocator/service.go",
		Old:  "len(has) == len(n.Subnets) {",
		New:  "len(has) == len(n.Subnets) && v.Allocated == 0 {",
		Test: scripts,
		Why:  "A service gets another virtual address with every update, and its clients lose it.",
	}, {
		Name: "allocator-anothers-port", File: "manager/allocator/service.go",
		Old:  "!(held && holder.ID != v.ID) && !numbered(out, q) {",
		New:  "!(held && holder.ID == \"\") && !numbered(out, q) {",
		Test: scripts,
		Why:  "A service waits for ever for a dynamic port that another has.",
	}, {
		Name: "allocator-other-port-at-update", File: "manager/allocator/service.go",
		Old:  "			out[i].Published = kept(v.Ports, q, out)\n",
		New:  "			_, _, _ = i, q, kept\n",
		Test: scripts,
		Why:  "A service's dynamic port changes with an update.",
	}, {
		Name: "ipam-overlapping-subnets", File: "ipam/pool.go",
		Old:  "		if l := netipx.PrefixLastIP(p); l.Compare(last) > 0 {\n			last = l\n		}\n",
		Test: Test{"ipam", "TestNextSubnet"},
		Why:  "Subnets are chosen that do not begin where a subnet of their size can.",
	}, {
		Name: "ipam-give-gateway", File: "ipam/subnet.go",
		Old:  "	case a == sub.Gateway:\n		return \"gateway\"\n",
		New:  "",
		Test: Test{"ipam", "TestSubnet"},
		Why:  "A task gets the address of its gateway.",
	}, {
		Name: "orchestrator-two-in-a-slot", File: "manager/orchestrator/slot.go",
		Old:  "	if slices.ContainsFunc(sl.tasks, s.blocks) {\n		return swarmnet.DesireReady\n	}\n",
		Test: scripts,
		Why:  "With stop-first, old and new task run at once.",
	}, {
		Name: "orchestrator-stop-before-all-have-heard", File: "manager/orchestrator/drain.go",
		Old:  "	case t.Balanced <= p.acknowledged():\n",
		New:  "	case p.acknowledged() > 0:\n",
		Test: scripts,
		Why:  "A task stops while a node still sends it connections.",
	}, {
		Name: "orchestrator-drain-forever", File: "manager/orchestrator/drain.go",
		Old:  "	case p.reached(t.BalancedAt.Add(drainFor)):\n",
		New:  "	case p.reached(t.BalancedAt.Add(1000 * drainFor)):\n",
		Test: scripts,
		Why:  "One node that does not answer keeps every task alive.",
	}, {
		Name: "orchestrator-serve-before-all-have-it", File: "manager/orchestrator/drain.go",
		Old:  "	return !p.balanced(t) || t.Balanced",
		New:  "	return true || t.Balanced",
		Test: scripts,
		Why:  "With start-first, the old task goes while a node does not know the new one yet.",
	}, {
		Name: "orchestrator-restart-at-once", File: "manager/orchestrator/slot.go",
		Old:  "	return t.Meta.UpdatedAt.Add(policy.Delay), true",
		New:  "	return time.Time{}, true",
		Test: scripts,
		Why:  "A task that fails at its start is made again without a pause.",
	}, {
		Name: "orchestrator-endless-attempts", File: "manager/orchestrator/slot.go",
		Old:  "if ended > policy.MaxAttempts {",
		New:  "if false {",
		Test: scripts,
		Why:  "A task is restarted more often than it may be.",
	}, {
		Name: "orchestrator-update-all-at-once", File: "manager/orchestrator/rollout.go",
		Old:  "		if settling && cfg.Parallelism > 0 {\n			r.budget--\n		}\n",
		New:  "		_ = settling\n",
		Test: scripts,
		Why:  "A roll-out does not wait for the tasks that it has just replaced.",
	}, {
		Name: "orchestrator-continue-stands-still", File: "manager/orchestrator/rollout.go",
		Old:  "	if failed && cfg.FailureAction == swarmnet.FailureContinue {",
		New:  "	if false {",
		Test: scripts,
		Why:  "An update that is to go on in spite of failures waits for ever for the first task that fails.",
	}, {
		Name: "orchestrator-no-rollback", File: "manager/orchestrator/rollout.go",
		Old:  "cfg.FailureAction == swarmnet.FailureRollback && !back",
		New:  "cfg.FailureAction == swarmnet.FailureRollback && back",
		Test: scripts,
		Why:  "A failed update is not rolled back.",
	}, {
		Name: "scheduler-all-on-one-node", File: "manager/scheduler/plan.go",
		Old:  "				g.count[best.ID]++\n				p.total[best.ID]++\n",
		Test: scripts,
		Why:  "All tasks of one plan go to one node.",
	}, {
		Name: "scheduler-place-on-drained", File: "manager/state/apply_task.go",
		Old:  "	case n.Spec.Availability != swarmnet.AvailabilityActive:\n		return \"its availability is \" + n.Spec.Availability.String()\n",
		Test: scripts,
		Why:  "Tasks are placed on nodes that are drained.",
	}, {
		Name: "scheduler-host-port-twice", File: "manager/state/apply_task.go",
		Old:  "if p.Mode == swarmnet.PublishHost && s.hostPortTaken(n.ID, p, t.ID) {",
		New:  "if false {",
		Test: scripts,
		Why:  "Two tasks on a node have one port of the host.",
	}, {
		Name: "dispatcher-forget-removal", File: "manager/dispatcher/diff.go",
		Old:  "			removed = append(removed, k)\n",
		New:  "			_ = k\n",
		Test: Test{"manager/dispatcher", "TestFoldOfDiff"},
		Why:  "Agents keep what is gone.",
	}, {
		Name: "dispatcher-tell-secrets", File: "manager/dispatcher/assign.go",
		Old:  "	v.Spec.Task, v.Previous = swarmnet.TaskSpec{}, nil\n",
		Test: Test{"manager/dispatcher", "TestAssignments"},
		Why:  "A node learns the environment of tasks that it does not run.",
	}}
}
