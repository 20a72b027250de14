package ca

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// joinTimeout is how long one manager may take to answer.
const joinTimeout = 20 * time.Second

// Joined is what a node learns when it joins.
type Joined struct {
	Identity *Identity
	Managers []string // API addresses of the managers
}

// Join makes the calling host a node of the cluster that a token is for, through the first of the managers at remotes
// (HOST:PORT) that answers. It is not kept on disk yet: see Identity.Save. An error is one line that says what to do.
func Join(ctx context.Context, remotes []string, token, hostname string, a swarmnet.Availability) (Joined, error) {
	t, err := ParseToken(token)
	if err != nil {
		return Joined{}, err
	}
	if len(remotes) == 0 {
		return Joined{}, errors.New("no manager to join through: give HOST:PORT of one")
	}
	key, err := newKey()
	if err != nil {
		return Joined{}, err
	}
	csr, err := request(key)
	if err != nil {
		return Joined{}, err
	}
	req := &pb.JoinRequest{Token: t.String(), Csr: csr, Hostname: hostname, Availability: wire.AvailabilityToProto(a)}
	var first error
	for _, remote := range remotes {
		j, err := joinThrough(ctx, remote, t, key, req)
		if err == nil {
			return j, nil
		}
		if first == nil {
			first = fmt.Errorf("cannot join through %s: %w", remote, err)
		}
		if c := status.Code(errors.Unwrap(err)); c == codes.PermissionDenied || ctx.Err() != nil {
			break
		}
	}
	return Joined{}, first
}

func joinThrough(ctx context.Context, remote string, t Token, key *ecdsa.PrivateKey, req *pb.JoinRequest) (Joined, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	var mu sync.Mutex
	var refused error
	creds := credentials.NewTLS(pinnedTLS(t.Digest, func(err error) {
		mu.Lock()
		refused = err
		mu.Unlock()
	}))
	conn, err := grpc.NewClient("passthrough:///"+remote, grpc.WithTransportCredentials(creds))
	if err != nil {
		return Joined{}, err
	}
	defer conn.Close()
	c, err := pb.NewCAClient(conn).Join(ctx, req)
	if err != nil {
		mu.Lock()
		defer mu.Unlock()
		if refused != nil {
			return Joined{}, refused
		}
		return Joined{}, plain(err)
	}
	root, err := parseCert(c.GetRoot())
	if err != nil || Digest(root.Raw) != t.Digest {
		return Joined{}, errWrongRoot
	}
	id, err := newIdentity(key, c.GetCert(), c.GetRoot())
	if err != nil {
		return Joined{}, err
	}
	return Joined{Identity: id, Managers: c.GetManagers()}, nil
}

// Renew asks a manager for a new certificate with the role that the node now has, and puts it into force.
func Renew(ctx context.Context, conn grpc.ClientConnInterface, id *Identity) error {
	csr, err := request(id.now.Load().key)
	if err != nil {
		return err
	}
	c, err := pb.NewCAClient(conn).Renew(ctx, &pb.RenewRequest{Csr: csr})
	if err != nil {
		return fmt.Errorf("cannot renew the node's certificate: %w", plain(err))
	}
	return id.Install(c.GetCert())
}

// AdminCert asks for an admin certificate over a connection that may (a local socket, or an admin's) and returns the files of
// it: certificate, key and root, PEM.
func AdminCert(ctx context.Context, conn grpc.ClientConnInterface) (cert, key, root []byte, err error) {
	k, err := newKey()
	if err != nil {
		return nil, nil, nil, err
	}
	csr, err := request(k)
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := pb.NewCAClient(conn).AdminCert(ctx, &pb.RenewRequest{Csr: csr})
	if err != nil {
		return nil, nil, nil, fmt.Errorf("cannot get an admin certificate: %w", plain(err))
	}
	key, err = encodeKey(k)
	return c.GetCert(), key, c.GetRoot(), err
}

// ParseIdentity makes an identity out of PEM texts, as AdminCert returns them.
func ParseIdentity(cert, key, root []byte) (*Identity, error) {
	k, err := parseKey(key)
	if err != nil {
		return nil, fmt.Errorf("the key cannot be read: %w", err)
	}
	return newIdentity(k, cert, root)
}

// rpcError is an error of a call as a person reads it, with its status underneath.
type rpcError struct{ err error }

func (e rpcError) Error() string { return status.Convert(e.err).Message() }
func (e rpcError) Unwrap() error { return e.err }

func plain(err error) error { return rpcError{err} }
