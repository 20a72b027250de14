// Package gossip holds the tables that nodes spread among themselves: single-writer rows, their merge, digests and
// repair. It is pure: package gossip/member carries it over hashicorp/memberlist.
package gossip
