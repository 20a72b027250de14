package main

// agentBugs are in the parts of the agent that decide.
func agentBugs() []Bug {
	return []Bug{{
		Name: "daemon-works-on-one-processor", File: "internal/procs/procs.go",
		Old:  "		case working && quiet >= calm:\n			p.widen()\n",
		New:  "		case working && quiet >= calm:\n",
		Test: Test{"internal/procs", "TestWatch"},
		Why:  "A daemon that has idled once keeps to one processor whatever it is given to do.",
	}, {
		Name: "agent-drift-is-not-told", File: "agent/drift.go",
		Old:  "	tell(now)\n	later(",
		New:  "	later(",
		Test: Test{"agent", "TestDriftIsToldAndGathered"},
		Why:  "Drift is put right and nobody hears of it.",
	}, {
		Name: "agent-drift-forgotten", File: "agent/drift.go",
		Old:  "		rest.take(lines)\n		d.mu.Unlock()\n		return\n",
		New:  "		rest.take(nil)\n		d.mu.Unlock()\n		return\n",
		Test: Test{"agent", "TestDriftIsToldAndGathered"},
		Why:  "Of what flaps only the first time is told.",
	}, {
		Name: "local-kill-is-no-end", File: "agent/local/life.go",
		Old:  "	case !sb.Wanted, sb.Last, sb.Started.IsZero():\n",
		New:  "	case !sb.Wanted, sb.Started.IsZero():\n",
		Test: Test{"agent/local", "TestC25Ends"},
		Why:  "What somebody killed is started again by its restart policy.",
	}, {
		Name: "local-restart-removes", File: "agent/local/life.go",
		Old:  "	if sb.Again && !sb.Removing {\n",
		New:  "	if sb.Again && !sb.Spec.AutoRemove {\n",
		Test: Test{"agent/local", "TestC25Ends"},
		Why:  "A restart removes what was made with --rm.",
	}, {
		Name: "changes-forget-own-endpoint", File: "internal/changes/log.go",
		Old:  "	if d.tasks {\n		l.indexHere(is)\n	}\n",
		Test: Test{"internal/changes", "TestParts"},
		Why:  "The endpoints of a task that came to the node are left out of what is computed for it.",
	}, {
		Name: "changes-skip-a-reading", File: "internal/changes/log.go",
		Old:  "s.known && last.number+1 == s.number",
		New:  "s.known",
		Test: Test{"internal/changes", "TestSince"},
		Why:  "Who missed a reading goes on from an older one as if nothing had changed in between.",
	}, {
		Name: "ingress-ports-look-alike", File: "ingress/splice.go",
		Old:  " && ordered.EqualLists(p.Lost, q.Lost)",
		Test: Test{"ingress", "TestPortsAndVIPs"},
		Why:  "That a task is lost changes nothing in the node's tables.",
	}, {
		Name: "session-ignore-gap", File: "agent/session/fold.go",
		Old:  "	if !f.have || d.From != f.set.Revision {",
		New:  "	if !f.have {",
		Test: Test{"agent/session", "TestFold|TestSession"},
		Why:  "A delta is added to a set that it was not made for.",
	}, {
		Name: "agent-acknowledge-without-vips", File: "agent/ack.go",
		Old:  "		if !r.balances() {\n			return\n		}\n",
		New:  "		_ = r\n",
		Test: Test{"agent", "TestAcknowledges"},
		Why:  "A node says that it has taken a task out of its balancers while a sandbox's virtual addresses still lead to it.",
	}, {
		Name: "session-keep-removed", File: "agent/session/fold.go",
		Old:  "		delete(out, k)\n",
		New:  "		_ = k\n",
		Test: Test{"agent/session", "TestFold"},
		Why:  "Tasks that are gone are kept.",
	}, {
		Name: "session-change-a-set-in-use", File: "agent/session/fold.go",
		Old:  "	out := maps.Clone(was)\n",
		New:  "	out := was\n",
		Test: Test{"agent/session", "TestFold"},
		Why:  "A set changes under those who work from it.",
	}, {
		Name: "session-go-back", File: "agent/session/fold.go",
		Old:  " && set.Revision < than.Revision\n",
		New:  " && false\n",
		Test: Test{"agent/session", "TestSessionNeverGoesBack"},
		Why:  "A manager that lags behind takes an agent back to an old set.",
	}, {
		Name: "outbox-forget-unsent", File: "agent/session/outbox.go",
		Old:  "return r.batch != 0 && r.batch <= n })",
		New:  "return r.batch <= n })",
		Test: Test{"agent/session", "TestOutboxLosesNothing"},
		Why:  "A report that was never sent counts as committed.",
	}, {
		Name: "outbox-send-once", File: "agent/session/outbox.go",
		Old:  "		r.batch = 0\n",
		Test: Test{"agent/session", "TestOutboxLosesNothing|TestSessionRepeats"},
		Why:  "What a broken stream swallowed is not sent again.",
	}, {
		Name: "session-trust-damaged-file", File: "agent/session/store.go",
		Old:  "	if sha256.Sum256(body) != [sha256.Size]byte(b[:sha256.Size]) {",
		New:  "	if false {",
		Test: Test{"agent/session", "TestDamagedFileIsPassedOver"},
		Why:  "An agent runs what a damaged file says.",
	}, {
		Name: "reconcile-prune-before-known", File: "agent/reconcile/loop.go",
		Old:  "	return l.status.Wanted != 0 && (l.force",
		New:  "	return (l.status.Wanted == 0 || l.force",
		Test: Test{"agent/reconcile", "TestLoop"},
		Why:  "At its start an agent removes the live data path, before it knows what is desired.",
	}, {
		Name: "reconcile-forget-failure", File: "agent/reconcile/loop.go",
		Old:  "	if err == nil {\n		l.status.Applied, l.status.Failures = number, 0\n	} else {\n		l.status.Failures++\n	}\n",
		New:  "	l.status.Applied, l.status.Failures = number, 0\n",
		Test: Test{"agent/reconcile", "TestLoop"},
		Why:  "What could not be put into force is not tried again.",
	}, {
		Name: "reconcile-no-drift-repair", File: "agent/reconcile/loop.go",
		Old:  "		case <-timer.C:\n			l.mu.Lock()\n			l.force = true\n			l.mu.Unlock()\n",
		New:  "		case <-timer.C:\n",
		Test: Test{"agent/reconcile", "TestLoop"},
		Why:  "What somebody deletes from the kernel does not come back.",
	}, {
		Name: "desired-half-a-sandbox", File: "agent/desired/desired.go",
		Old:  "ep.Network == n.Network }) {\n			return sb, false\n		}\n",
		New:  "ep.Network == n.Network }) {\n			continue\n		}\n",
		Test: Test{"agent/desired", "TestSandboxes"},
		Why:  "A task starts before all of its networks are there.",
	}, {
		Name: "task-ready-before-healthy", File: "agent/task/decide.go",
		Old:  "	ready := in.Workload.Phase == executor.Running && !in.Settling && (!in.Checked || in.Health == Healthy || trusted)",
		New:  "	ready := in.Workload.Phase == executor.Running && !in.Settling || trusted",
		Test: Test{"agent/task", "TestDecide"},
		Why:  "A task takes connections before its health check says that it can.",
	}, {
		Name: "task-stop-while-draining", File: "agent/task/decide.go",
		Old:  "	case in.Desired >= swarmnet.DesireShutdown, in.Told.Terminal(), in.Health == Unhealthy:",
		New:  "	case in.Desired >= swarmnet.DesireDraining, in.Told.Terminal(), in.Health == Unhealthy:",
		Test: Test{"agent/task", "TestDecide"},
		Why:  "A task is killed while balancers still lead to it.",
	}, {
		Name: "task-start-twice", File: "agent/task/decide.go",
		Old:  "	case in.Told >= swarmnet.TaskRunning:\n		out := released(swarmnet.TaskFailed, \"gone\", \"node restarted\")\n		out.Row = over(in)\n		return out\n",
		Test: Test{"agent/task", "TestDecide"},
		Why:  "A workload that vanished is started a second time under one task.",
	}, {
		Name: "session-saves-by-the-disk", File: "agent/session/session.go",
		Old:  "		return took\n",
		New:  "		return took - took + time.Since(began)\n",
		Test: Test{"agent/session", "TestASlowDiskPutsOffNoSaving"},
		Why:  "A daemon that is killed just after a service has started begins with a set in which it has not, and refuses its port.",
	}}
}
