package main

// dnsBugs are in the names and the resolver.
func dnsBugs() []Bug {
	return []Bug{{
		Name: "dns-internal-asks-outside", File: "dns/forward.go",
		Old:  "	case !c.place.Load().internal:",
		New:  "	default:",
		Test: Test{"dns", "TestC46InternalSandboxes"},
		Why:  "A sandbox on internal networks only tells the world what it looks for.",
	}, {
		Name: "dns-ask-ourselves", File: "dns/forward.go",
		Old:  "if !u.IsValid() || u.Addr().Unmap() == Address {",
		New:  "if !u.IsValid() {",
		Test: Test{"dns", "Test"},
		Why:  "The resolver asks itself, until nothing is left.",
	}, {
		Name: "dns-answer-an-answer", File: "dns/local.go",
		Old:  "if len(raw) < headerLen || raw[2]&0x80 != 0 {",
		New:  "if len(raw) < headerLen {",
		Test: Test{"dns", "Test"},
		Why:  "Two resolvers answer each other for ever.",
	}, {
		Name: "dns-no-rotation", File: "dns/local.go",
		Old:  "answer.Rotate && len(rrs) > 1 {",
		New:  "answer.Rotate && len(rrs) > 1<<16 {",
		Test: Test{"dns", "TestTasksComeInAnyOrder"},
		Why:  "All clients take the first task.",
	}, {
		Name: "dns-immortal-answers", File: "dns/cache.go",
		Old:  "			h.Ttl -= min(h.Ttl, age)\n",
		New:  "			_ = age\n",
		Test: Test{"dns", "TestCacheCountsTimeToLiveDown"},
		Why:  "Answers from the cache start their life anew.",
	}, {
		Name: "dns-one-answer-for-all-types", File: "dns/cache.go",
		Old:  "qtype: q.Question[0].Qtype, cd",
		New:  "cd",
		Test: Test{"dns", "TestCacheKeepsQuestionsApart"},
		Why:  "Who asks for AAAA is given the A of before.",
	}, {
		Name: "dns-empty-service-leaks", File: "dns/records/records.go",
		Old:  "	if name == \"\" {\n		return\n	}\n",
		New:  "	if name == \"\" || len(addrs) == 0 {\n		return\n	}\n",
		Test: Test{"dns/records", "TestRecords"},
		Why:  "The name of a service without a task is looked for outside.",
	}, {
		Name: "dns-name-draining-tasks", File: "dns/records/compute.go",
		Old:  "att, gossip.Usable(set, view, members[attachment{id, att.Network}]))",
		New:  "att, members[attachment{id, att.Network}])",
		Test: Test{"dns/records", "TestRecords"},
		Why:  "Names lead to tasks that drain.",
	}, {
		Name: "dns-other-networks-names", File: "dns/records/compute.go",
		Old:  "		if n.HasNames() {",
		New:  "		if true {",
		Test: Test{"dns/records", "TestRecords"},
		Why:  "Names lead to the addresses of the mesh, which answer to nobody else.",
	}, {
		Name: "dns-names-on-the-default-bridge", File: "network.go",
		Old:  "return !n.Spec.Ingress && n.ID != PredefinedNetworkID(DriverBridge)",
		New:  "return !n.Spec.Ingress",
		Test: Test{"dns/records", "TestRecords"},
		Why:  "Strangers on the default bridge find each other by name.",
	}, {
		Name: "dns-overlay-last", File: "agent/desired/desired.go",
		Old:  "cmp.Compare(overlay(a.Network), overlay(b.Network)), -cmp",
		New:  "cmp.Compare(overlay(b.Network), overlay(a.Network)), -cmp",
		Test: Test{"agent/desired", "TestC42LookupOrder"},
		Why:  "A network of the host hides the cluster's names.",
	}}
}
