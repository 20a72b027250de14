// Package nft makes nftables tables equal to what is wanted, over nfnetlink: Observe dumps a table, Diff says what is missing or too much, and one
// transaction changes it, so that a packet meets either the old rules or the new ones.
//
// Rules are known by a digest of their expressions, kept in their comment: what the kernel dumps of an expression is not always what it was
// given. The generation that nftables counts with each transaction tells whether anybody changed anything since the last look, so a pass
// over unchanged tables costs one small request.
//
// It stands beside google/nftables, whose expressions it uses, since that cannot express a directional conntrack zone, refuse a
// transaction when the generation moved, or send a transaction with one acknowledgement.
package nft
