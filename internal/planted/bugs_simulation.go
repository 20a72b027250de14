package main

// simulationBugs are between the parts: each alone does what it says, and a cluster that is cut and healed shows them.
func simulationBugs() []Bug {
	cutAndHeal := Test{"internal/simulation", "TestS42CutAndHeal/first"}
	return []Bug{{
		Name: "cut-withdraw-what-ended", File: "agent/task/decide.go",
		Old:  "	if in.Told.Terminal() {\n		return gossip.EndpointUnknown\n	}\n	return gossip.EndpointDraining\n",
		New:  "	return gossip.EndpointUnknown\n",
		Test: Test{"agent/task", "TestDecide"},
		Why:  "A task that ends while no manager answers stays in names and balancers: without a row the managers' word counts.",
	}, {
		Name: "cut-no-grace-for-a-new-leader", File: "manager/orchestrator/plan.go",
		Old:  "	if p.led.After(n.Status.Since) {\n		return p.led\n	}\n",
		Test: Test{"manager/planner", "TestScripts/grace"},
		Why:  "A node that lost its session before there was no leader for long is given up by the next one at once, though it is well.",
	}, {
		Name: "cut-stop-before-the-own-balancers-know", File: "agent/task/decide.go",
		Old:  "		if !in.Workload.Stopping && !in.Leading && (",
		New:  "		if !in.Workload.Stopping && (",
		Test: cutAndHeal,
		Why:  "A node that comes back stops the tasks that were given up meanwhile, and its own ports still lead to them.",
	}, {
		Name: "cut-stale-word-counts", File: "gossip/usable.go",
		Old:  "	case len(alive) > 0:\n		return alive\n",
		Test: Test{"gossip", "TestUsable"},
		Why:  "When the managers' last word has everybody in doubt, the dead are tried like the living.",
	}, {
		Name: "cut-wait-for-strangers", File: "gossip/member/rows.go",
		Old:  "		case n != nil || m.list != nil && time.Since(m.named[id]) >= strangerFor:\n",
		New:  "		case n != nil || m.list != nil && time.Since(m.named[id]) >= 1000*strangerFor:\n",
		Test: Test{"gossip/member", "TestWhoIsNeverMetIsDead"},
		Why:  "A daemon that starts on a node which is cut off never doubts the nodes that it has never met.",
	}, {
		Name: "cut-forget-what-was-sent", File: "manager/dispatcher/feed.go",
		Old:  "	d = Diff(f.sent, set)\n	f.sent = set\n",
		New:  "	d = Diff(f.sent, set)\n	if len(set.Tasks) > 0 {\n		f.sent = set\n	}\n",
		Test: Test{"manager/dispatcher", "TestFeedIsContiguous"},
		Why:  "A delta is made against another set than the agent has.",
	}, {
		Name: "cut-acknowledge-at-once", File: "manager/dispatcher/feed.go",
		Old:  "	if f.applied >= f.sent.Revision {\n		upTo = max(f.applied, f.checked)\n	}\n",
		New:  "	upTo = max(f.applied, f.checked)\n",
		Test: cutAndHeal,
		Why:  "What was sent to a node counts as in force there: tasks are stopped that it still leads to.",
	}, {
		Name: "cut-go-back-to-an-older-set", File: "agent/session/fold.go",
		Old:  " && set.Revision < than.Revision\n",
		New:  " && set.Revision > than.Revision\n",
		Test: cutAndHeal,
		Why:  "An agent takes old sets and passes over new ones.",
	}}
}
