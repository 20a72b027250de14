package main

// kernelBugs are in what the kernel is told, and shown only by a kernel.
func kernelBugs() []Bug {
	return []Bug{{
		Name: "netns-named-by-an-open-file", File: "internal/netns/netns.go",
		Old:  "	if err := h.Do(func() error { return mountOwn(path) }); err != nil {",
		New:  "	if err := unix.Mount(fmt.Sprintf(\"/proc/self/fd/%d\", h.FD()), path, \"none\", unix.MS_BIND, \"\"); err != nil {",
		Test: Test{"internal/netns", "TestKernelNamedAgainEnds"},
		Why:  "A fabric that was unmounted twice is kept for ever, and with it the VNIs.",
	}, {
		Name: "address-is-own-some-time", File: "internal/nl/addr.go",
		Old:  "		c.awaitOwn(p.Addr())",
		New:  "		_ = c.awaitOwn",
		Test: Test{"internal/nl", "TestKernelAddressIsOwnAtOnce"},
		Why:  "A sandbox's first IPv6 connection to itself ends after three seconds.",
	}, {
		Name: "fabric-lets-through-what-is-under-way", File: "overlay/kernel/nft.go",
		Old:  "		rule(nft.IIFIsNot(uplink), nft.OIFIsNot(uplink), nft.GotoChain(between.Name)),",
		New:  "		rule(nft.CTNotNew(), nft.Accept()),\n		rule(nft.IIFIsNot(uplink), nft.OIFIsNot(uplink), nft.GotoChain(between.Name)),",
		Test: Test{"overlay/kernel", "TestKernelIsolationOfConnectionsUnderWay"},
		Why:  "What connected two networks while the rules were gone goes on for ever.",
	}}
}
