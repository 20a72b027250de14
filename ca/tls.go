package ca

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// ServerTLS is the configuration of a manager's listener: a client without a certificate gets in (it may be about to
// join; what it may call is decided call by call), a certificate that is given must be of this cluster.
func (id *Identity) ServerTLS() *tls.Config {
	c := id.serverTLS()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return id.serverTLS(), nil }
	return c
}

func (id *Identity) serverTLS() *tls.Config {
	m := id.now.Load()
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{m.tls},
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    m.pool,
		NextProtos:   []string{"h2"},
		// A resumed session would go on with what was true of the certificate before.
		SessionTicketsDisabled: true,
	}
}

// ClientTLS is the configuration of a connection to a manager of the cluster.
func (id *Identity) ClientTLS() *tls.Config {
	m := id.now.Load()
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		RootCAs:    m.pool,
		ServerName: ServerName(m.subject.Cluster),
		NextProtos: []string{"h2"},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c := id.now.Load().tls
			return &c, nil
		},
	}
}

// DialOption makes a gRPC client speak as the node to managers of its cluster.
func (id *Identity) DialOption() grpc.DialOption {
	return grpc.WithTransportCredentials(credentials.NewTLS(id.ClientTLS()))
}

// maxMessage is the size that a message may have: a whole assignment set comes in one.
const maxMessage = 64 << 20 // octets

// DialOptions are what a connection to a manager needs: the node's identity, messages as large as a whole assignment set,
// and keepalives. With those a stream that carries heartbeats breaks about 3 s after the other host has vanished: the
// timeout is also the kernel's for data that nobody acknowledges (TCP_USER_TIMEOUT).
func (id *Identity) DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		id.DialOption(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second, PermitWithoutStream: true}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithStaticStreamWindowSize(streamWindow), grpc.WithStaticConnWindowSize(connWindow),
	}
}

// How many octets may be under way that nobody has read yet. Left to itself, gRPC finds that out by a ping for each message of a stream that has few:
// then a heartbeat is three packets each way, and wakes both sides three times.
const (
	streamWindow = 1 << 20
	connWindow   = 4 << 20
)

// ServerOptions make a gRPC server speak as the node.
func (id *Identity) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(credentials.NewTLS(id.ServerTLS())), grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connWindow),
	}
}

// pinnedTLS is the configuration of a node that joins: it trusts the one root that has the digest, and only managers.
// refused is told why a server is not trusted, since gRPC keeps only the text of it.
func pinnedTLS(digest string, refused func(error)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2"},
		// The chain is verified below, against the digest: there is no other root yet to verify it with.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			err := verifyPinned(s.PeerCertificates, digest)
			if err != nil {
				refused(err)
			}
			return err
		},
	}
}

// errWrongRoot says that a server is not of the cluster that the token names.
var errWrongRoot = errors.New("its root certificate is not the one that the join token names: check the address, and take a token of that cluster")

func verifyPinned(chain []*x509.Certificate, digest string) error {
	if len(chain) == 0 {
		return errors.New("it shows no certificate")
	}
	var root *x509.Certificate
	for _, c := range chain[1:] {
		if Digest(c.Raw) == digest {
			root = c
		}
	}
	if root == nil {
		return errWrongRoot
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
		return fmt.Errorf("its certificate is not valid: %w", err)
	}
	if s, err := subjectOf(chain[0]); err != nil || s.Kind != KindManager {
		return errors.New("it is not a manager")
	}
	return nil
}
