package main

// ipvsBugs are in what IPVS is made to be, as far as it is computed.
func ipvsBugs() []Bug {
	ipvs, kernel := "ingress/kernel/ipvs", "ingress/kernel"
	return []Bug{{
		Name: "balancer-would-be-is-told-as-is", File: "doctor/checks.go",
		Old:  "	if f.Daemon != \"\" {\n		found = fmt.Sprintf(\"a daemon would",
		New:  "	if f.Daemon == \"-\" {\n		found = fmt.Sprintf(\"a daemon would",
		Test: Test{"doctor", "TestC60_Balancer"},
		Why:  "A host without a daemon is said to balance.",
	}, {
		Name: "ipvs-change-is-nothing", File: "ingress/kernel/ipvs/diff.go",
		Old:  "		case h.same(w):",
		New:  "		case h.Method == w.Method && h.Upper == w.Upper:",
		Test: Test{ipvs, "TestDiff"},
		Why:  "A task that drains gets new connections for ever.",
	}, {
		Name: "ipvs-drain-before-others-open", File: "ingress/kernel/ipvs/diff.go",
		Old:  "			op.Kind = RaiseDest",
		New:  "			op.Kind = LowerDest",
		Test: Test{ipvs, "TestDiff"},
		Why:  "For a moment nobody takes connections.",
	}, {
		Name: "ipvs-never-delete", File: "ingress/kernel/ipvs/diff.go",
		Old:  "			ops = append(ops, Op{Kind: DelService, Key: k})",
		New:  "			_ = k",
		Test: Test{ipvs, "TestDiff"},
		Why:  "A port that is published no more goes on balancing.",
	}, {
		Name: "ipvs-keep-scheduler", File: "ingress/kernel/ipvs/diff.go",
		Old:  "		case h.Scheduler != w.Scheduler || h.Flags != w.Flags:",
		New:  "		case h.Flags != w.Flags:",
		Test: Test{ipvs, "TestDiff"},
		Why:  "Another --ipvs-scheduler changes nothing of what is there.",
	}, {
		Name: "ipvs-digest-without-weight", File: "ingress/kernel/ipvs/digest.go",
		Old:  "uint64(dest.Weight))",
		New:  "uint64(dest.Weight&0))",
		Test: Test{ipvs, "TestDigest"},
		Why:  "A weight that somebody alters is never put right.",
	}, {
		Name: "ipvs-digest-of-addresses-alone", File: "ingress/kernel/ipvs/digest.go",
		Old:  "	return binary.BigEndian.AppendUint32(b, k.Mark)",
		New:  "	return b",
		Test: Test{ipvs, "TestDigest"},
		Why:  "A virtual address's services may be another's, and nothing is noticed.",
	}, {
		Name: "ipvs-limits-stay", File: "ingress/kernel/ipvs/diff.go",
		Old:  "		case h.same(w):",
		New:  "		case h.Weight == w.Weight && h.Method == w.Method:",
		Test: Test{ipvs, "TestDiff"},
		Why:  "A task that somebody lets have one connection gets no others.",
	}, {
		Name: "ipvs-hash-without-fallback", File: "ingress/kernel/ipvs/scheduler.go",
		Old:  "	if s == SourceHash || s == Maglev {",
		New:  "	if s == SourceHash {",
		Test: Test{ipvs, "TestHashingSchedulersFallBack"},
		Why:  "The clients of a task that drains are refused.",
	}, {
		Name: "ipvs-retire-idle-ones-too", File: "ingress/kernel/ipvs/table.go",
		Old:  "			if d.Conns > 0 {",
		New:  "			if d.Conns >= 0 {",
		Test: Test{ipvs, "TestRetired"},
		Why:  "What another balancer made is never taken away.",
	}, {
		Name: "ipvs-lost-datagrams", File: "ingress/kernel/ipvstable.go",
		Old:  "	if ends {\n",
		New:  "	if ends || len(lost) > 0 {\n",
		Test: Test{kernel, "TestPortServices|TestVIPServices"},
		Why:  "A UDP client goes on sending to a task that is lost.",
	}, {
		Name: "ipvs-drain-with-weight", File: "ingress/kernel/ipvstable.go",
		Old:  "		out[a] = ipvs.Dest{}",
		New:  "		out[a] = ipvs.Dest{Weight: 1}",
		Test: Test{kernel, "TestPortServices"},
		Why:  "A task that drains gets new connections.",
	}, {
		Name: "ipvs-one-mark-twice", File: "ingress/kernel/ipvstable.go",
		Old:  "			streams.Elems[key] = keyNative(m.marks[v.Addr] | markStream)",
		New:  "			streams.Elems[key] = keyNative(m.marks[v.Addr])",
		Test: Test{kernel, "TestMarkTable"},
		Why:  "TCP connections to lost tasks are cut as if they were datagrams.",
	}, {
		Name: "ipvs-mark-by-place", File: "ingress/kernel/ipvstable.go",
		Old:  "		n := binary.BigEndian.Uint32(sum[:]) % marks",
		New:  "		n := binary.BigEndian.Uint32(sum[:])%1 + uint32(len(out))",
		Test: Test{kernel, "TestVIPServices"},
		Why:  "When a service comes or goes, connections to others are cut, since their marks change.",
	}}
}
