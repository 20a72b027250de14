package ca

import (
	"context"
	"errors"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/swarmnet/swarmnet"
)

// Peer is the caller of an RPC.
type Peer struct {
	Subject
	Serial string // of its certificate, in hex
	Local  bool   // over the local socket
}

// Actor is the caller's name in events.
func (p Peer) Actor() string {
	switch {
	case p.Local:
		return "local"
	case p.Kind == KindAdmin:
		return "admin:" + string(p.Node)
	case p.Kind == KindNone:
		return "anonymous"
	}
	return "node:" + string(p.Node)
}

// IsNode reports whether the caller is a node with a certificate.
func (p Peer) IsNode() bool { return p.Kind == KindWorker || p.Kind == KindManager }

// PeerFromContext says who calls: over a unix socket the local admin (who may open the socket is the file system's to
// say), over TLS whom the verified certificate names, else a stranger. An error means a certificate that makes no sense.
func PeerFromContext(ctx context.Context) (Peer, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Peer{}, errors.New("the call has no peer")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		if p.Addr != nil && p.Addr.Network() == "unix" {
			return Peer{Subject: Subject{Kind: KindAdmin}, Local: true}, nil
		}
		return Peer{}, errors.New("the connection is not TLS")
	}
	if len(info.State.VerifiedChains) == 0 {
		return Peer{}, nil
	}
	leaf := info.State.VerifiedChains[0][0]
	s, err := subjectOf(leaf)
	if err != nil {
		return Peer{}, err
	}
	return Peer{Subject: s, Serial: leaf.SerialNumber.Text(16)}, nil
}

// NodeFromContext is PeerFromContext for calls that only nodes may make.
func NodeFromContext(ctx context.Context) (swarmnet.NodeID, error) {
	p, err := PeerFromContext(ctx)
	if err != nil {
		return "", err
	}
	if !p.IsNode() {
		return "", errors.New("only a node may call this")
	}
	return p.Node, nil
}
