// Package ca is the certificate authority of a cluster and what its nodes do with certificates: the root, join tokens,
// node identities on disk, TLS settings, joining and renewal.
//
// A certificate's subject says who its holder is: the node's id in CN, the role in OU (swarmnet-manager, swarmnet-worker
// or swarmnet-admin), the cluster's id in O. Managers' certificates carry the DNS name that ServerName gives; nobody else's
// do, so that a worker cannot pose as a manager. Every key is ECDSA P-256, TLS is 1.3 at least.
//
// A node that joins knows only its token. The token carries a digest of the root certificate: the joiner checks during
// the TLS handshake, before it sends anything, that the manager's chain ends in that root.
package ca
