package nl

// IdleTCPKey is for how many seconds connection tracking remembers an established TCP connection on which nothing is sent.
const IdleTCPKey = "net/netfilter/nf_conntrack_tcp_timeout_established"

// KeepIdleTCP keeps a connection that has been idle for days, as the kernel does by itself: whose translation is forgotten, a packet of it goes
// anywhere. RFC 5382 section 5 (REQ-5) asks for two hours and four minutes at least.
var KeepIdleTCP = [2]string{IdleTCPKey, "432000"}

// ForgetResetTCP has a sandbox's connection tracking forget a connection when it is reset. For ten seconds it would go on to take the sandbox, should that
// come again from the same port, where the old connection led, the balancer of virtual addresses unasked: only a connection that the one who asks reset,
// or that one side had ended, is begun anew (nf_conntrack_tcp_packet in net/netfilter/nf_conntrack_proto_tcp.c). The fabric is not to forget before the
// host does, whose settings are not ours: to another task that the client has just left, the new connection would begin with an answer to the old one, which
// the host holds invalid for as long as it remembers.
var ForgetResetTCP = [2]string{"net/netfilter/nf_conntrack_tcp_timeout_close", "0"}
