package main

// dataPathBugs are in the overlay and the ingress, as far as they are computed.
func dataPathBugs() []Bug {
	overlay, ingress := "overlay", "ingress"
	return []Bug{{
		Name: "mesh-removed-service-keeps-port", File: "ingress/mesh.go",
		Old:  "			if s.Removing {\n				continue\n			}\n			port",
		New:  "			port",
		Test: Test{"ingress", "TestScripts"},
		Why:  "A port that was given up leads nowhere until the tasks of the service that had it have ended.",
	}, {
		Name: "overlay-remove-before-add", File: "overlay/diff.go",
		Old:  "	return append(add, remove...)",
		New:  "	return append(remove, add...)",
		Test: Test{overlay, "TestDiff"},
		Why:  "The data path is cut for as long as a change takes.",
	}, {
		Name: "overlay-never-remove", File: "overlay/diff.go",
		Old:  "left && !goesWith(o, old) {",
		New:  "left && !goesWith(o, old) && o.Kind != KindFDB {",
		Test: Test{overlay, "TestDiff"},
		Why:  "A MAC that moved away still leads to its old node.",
	}, {
		Name: "overlay-change-is-nothing", File: "overlay/diff.go",
		Old:  "		if old[o.key()] != o {",
		New:  "		if _, there := old[o.key()]; !there {",
		Test: Test{overlay, "TestDiff"},
		Why:  "An object with a wrong value is left as it is.",
	}, {
		Name: "overlay-bridge-after-its-addresses", File: "overlay/diff.go",
		Old:  "	slices.SortStableFunc(add, func(a, b Op) int { return cmp.Compare(a.Kind, b.Kind) })",
		New:  "	slices.SortStableFunc(add, func(a, b Op) int { return cmp.Compare(b.Kind, a.Kind) })",
		Test: Test{overlay, "TestDiff"},
		Why:  "Objects are made before the devices that they are on.",
	}, {
		Name: "overlay-own-mtu-only", File: "overlay/compute.go",
		Old:  "		if m := n.Description.UnderlayMTU; m > 0 && (mtu <= 0 || m < mtu) {",
		New:  "		if m := n.Description.UnderlayMTU; m > 0 && mtu <= 0 {",
		Test: Test{overlay, "TestMTU"},
		Why:  "Packets are larger than another node's device takes.",
	}, {
		Name: "overlay-deaf-to-probes", File: "overlay/compute.go",
		Old:  "	if path > 0 && (mtu <= 0 || path < mtu) {",
		New:  "	if path > 0 && mtu <= 0 {",
		Test: Test{overlay, "TestMTU"},
		Why:  "Packets are larger than what gets through.",
	}, {
		Name: "path-believes-silence", File: "pathmtu/pathmtu.go",
		Old:  "	if err == nil && got == 0 {",
		New:  "	if got < 0 {",
		Test: Test{"pathmtu", "TestSearchOfASilentWay"},
		Why:  "The networks shrink because a node is down.",
	}, {
		Name: "path-never-better", File: "pathmtu/pathmtu.go",
		Old:  "		first = []int{Least, last, most}",
		New:  "		first = []int{Least, last}",
		Test: Test{"pathmtu", "TestSearchFindsWhatArrives"},
		Why:  "A way that is mended is not used for minutes.",
	}, {
		Name: "path-believed-at-once", File: "agent/paths.go",
		Old:  "			if errs[i] != nil {\n				sizes[i] = 0\n			}\n",
		New:  "",
		Test: Test{"agent", "TestPathsAreBelievedTwice"},
		Why:  "A node that falls silent amid a search shrinks the networks.",
	}, {
		Name: "overlay-other-family", File: "overlay/compute.go",
		Old:  "	return b.IsValid() && a.Unmap().Is4() == b.Unmap().Is4()",
		New:  "	return a.IsValid() && b.IsValid()",
		Test: Test{overlay, "TestOtherFamilysNodesAreLeftOut"},
		Why:  "The kernel is asked for a VTEP of the other family and refuses all.",
	}, {
		Name: "overlay-map-order", File: "overlay/compute.go",
		Old:  "	slices.SortFunc(out.Remotes, func(a, b Remote) int { return bytes.Compare(a.MAC[:], b.MAC[:]) })\n",
		Test: Test{overlay, "TestSameInputsSameDesired"},
		Why:  "What is desired differs each time it is computed.",
	}, {
		Name: "overlay-move-untold", File: "overlay/diff.go",
		Old:  "		case op.Kind == KindProxy && !made[op.VNI]:",
		New:  "		case op.Kind == KindProxy && made[op.VNI]:",
		Test: Test{overlay, "TestMoved"},
		Why:  "Sandboxes go on sending to where an address was, until their kernel gives up.",
	}, {
		Name: "overlay-ipv6-below-its-mtu", File: "overlay/compute.go",
		Old:  "		mtu = max(mtu, minIPv6MTU)\n",
		Test: Test{overlay, "TestMTUOfIPv6"},
		Why:  "On a narrow path the kernel refuses the IPv6 addresses of bridges, and with them the whole change.",
	}, {
		Name: "ingress-family-that-is-not-carried", File: "ingress/mesh.go",
		Old:  "		if !carried(a.Addr()) {",
		New:  "		if false {",
		Test: Test{ingress, "TestS11MeshFamilies"},
		Why:  "A port answers over IPv6 where a task happens to be, and leads nowhere elsewhere.",
	}, {
		Name: "ipam-family-order", File: "ipam/pool.go",
		Old:  "			out[0] = c",
		New:  "			out[len(out)-1] = c",
		Test: Test{"ipam", "TestWishes"},
		Why:  "A network that names its IPv4 subnet loses its IPv6 one.",
	}, {
		Name: "ingress-drop-tie-break", File: "ingress/mesh.go",
		Old:  "		case first < 0 || first == 0 && have.Mode < p.Mode:",
		New:  "		case first == 0 && have.Mode < p.Mode:",
		Test: Test{ingress, "TestClashHasOneWinner"},
		Why:  "While two services have a port, each node leads to another of them.",
	}, {
		Name: "ingress-give-up-empty-port", File: "ingress/mesh.go",
		Old:  "	for _, p := range ports {\n",
		New:  "	for _, p := range ports {\n		if len(p.Backends) == 0 {\n			continue\n		}\n",
		Test: Test{ingress, "Test"},
		Why:  "A published port without a task is anybody's on the host.",
	}, {
		Name: "ingress-anothers-host-port", File: "ingress/mesh.go",
		Old:  "				return ep.Task != id || ep.Node != set.Self\n",
		New:  "				return id == \"\" || ep.Node != set.Self\n",
		Test: Test{ingress, "TestHostPortIsItsTasks"},
		Why:  "A port of the host leads to another task of the service.",
	}, {
		Name: "ingress-unready-backends", File: "ingress/mesh.go",
		Old:  "			for _, ep := range gossip.Usable(set, view, byOwner[by]) {",
		New:  "			for _, ep := range byOwner[by] {",
		Test: Test{ingress, "Test"},
		Why:  "Connections are led to tasks that drain or have not started.",
	}, {
		Name: "ingress-cut-draining", File: "ingress/vips.go",
		Old:  "			out.Draining = append(out.Draining, addr)\n",
		New:  "			out.Lost = append(out.Lost, addr)\n",
		Test: Test{ingress, "Test"},
		Why:  "A task that drains loses the connections that it has.",
	}, {
		Name: "ingress-any-networks-vips", File: "ingress/vips.go",
		Old:  "		if _, mine := set.Tasks[ep.Task]; mine && ep.Node == set.Self && len(",
		New:  "		if ep.Node != \"\" && len(",
		Test: Test{ingress, "Test"},
		Why:  "The balancing of other nodes' tasks is computed here.",
	}, {
		Name: "splice-released", File: "ingress/splice.go",
		Old:  "ok1 && ok2 && ok3 && !released(was.Ports, is.Ports)",
		New:  "ok1 && ok2 && ok3",
		Test: Test{"agent/desired", "TestPlannerComputesTheSame"},
		Why:  "Who waited for a port that another service had does not get it when that is gone.",
	}, {
		Name: "dns-shared-name", File: "dns/records/book.go",
		Old:  "have == nil || have.shared || !have.equal(e)",
		New:  "have == nil || !have.equal(e)",
		Test: Test{"dns/records", "TestBookKnowsTheSame"},
		Why:  "An alias that two services share is forgotten with one of them.",
	}, {
		Name: "overlay-step-node", File: "overlay/step.go",
		Old:  "|| slices.ContainsFunc(a.Remotes, isNode) || slices.ContainsFunc(b.Remotes, isNode) {",
		New:  "{",
		Test: Test{"overlay", "TestStepIsTheWholeDifference"},
		Why:  "A node that comes or goes is not let through the fabric's table until the next full look.",
	}, {
		Name: "ingress-lost-is-not", File: "ingress/mesh.go",
		Old:  "	lost := ep.Node != set.Self && (view.Nodes",
		New:  "	lost := false && (view.Nodes",
		Test: Test{ingress, "Test"},
		Why:  "UDP flows stay with a node that is dead.",
	}, {
		Name: "flow-named-by-its-question", File: "internal/nl/conntrack.go",
		Old:  "		case ctaTupleReply:\n			out",
		New:  "		case ctaTupleOrig:\n			out",
		Test: Test{"internal/nl", "TestFlowName"},
		Why:  "With the flows of a task that is gone go the connections of clients that came again from the same ports.",
	}}
}
