package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/swarmnet/swarmnet/ca"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

// maxAnswer bounds one answer: a list of a hundred thousand tasks.
const maxAnswer = 64 << 20

// dial connects to --host, once an invocation.
func (a *app) dial(ctx context.Context) (*grpc.ClientConn, error) {
	if a.conn != nil {
		return a.conn, nil
	}
	opts := []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer))}
	path, local := strings.CutPrefix(a.host, "unix://")
	var target string
	switch {
	case local:
		if err := knock(ctx, path); err != nil {
			return nil, err
		}
		target = "unix://" + path
		opts = append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))
	default:
		creds, err := a.adminCredentials()
		if err != nil {
			return nil, err
		}
		if err := knockTCP(ctx, a.host); err != nil {
			return nil, err
		}
		target = "passthrough:///" + a.host
		opts = append(opts, creds)
	}
	conn, err := grpc.NewClient(target, opts...)
	if err != nil {
		return nil, fmt.Errorf("cannot use --host %s: %w", a.host, err)
	}
	a.conn = conn
	return conn, nil
}

// knock finds out why a daemon cannot be reached before gRPC hides it behind its retries.
func knock(ctx context.Context, path string) error {
	if !filepath.IsAbs(path) {
		return usagef("--host unix://%s: an absolute path is wanted, as in unix:///run/swarmnet/swarmnet.sock", path)
	}
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return conn.Close()
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("may not use the daemon at %s: run as root", path)
	}
	return fmt.Errorf("cannot reach the daemon at %s: is it running? start it with `swarmnet daemon`", path)
}

func knockTCP(ctx context.Context, addr string) error {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return usagef("--host %q: unix:///PATH or HOST:PORT is wanted", addr)
	}
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("cannot reach a manager at %s (%w): is it the address that `swarmnet cluster info` shows?", addr, errors.Unwrap(err))
	}
	return conn.Close()
}

func (a *app) adminCredentials() (grpc.DialOption, error) {
	if a.certPath == "" {
		return nil, usagef("--host %s needs an admin certificate: name the directory that `swarmnet cluster admin-cert` wrote with --cert-path", a.host)
	}
	var parts [3][]byte
	for i, name := range []string{"cert.pem", "key.pem", "ca.pem"} {
		b, err := os.ReadFile(filepath.Join(a.certPath, name))
		if err != nil {
			return nil, fmt.Errorf("cannot read the admin certificate: %w", err)
		}
		parts[i] = b
	}
	id, err := ca.ParseIdentity(parts[0], parts[1], parts[2])
	if err != nil {
		return nil, fmt.Errorf("the admin certificate in %s is not usable: %w", a.certPath, err)
	}
	return id.DialOption(), nil
}

func (a *app) control(ctx context.Context) (pb.ControlClient, error) {
	conn, err := a.dial(ctx)
	if err != nil {
		return nil, err
	}
	return pb.NewControlClient(conn), nil
}

func (a *app) local(ctx context.Context) (pb.LocalClient, error) {
	conn, err := a.dial(ctx)
	if err != nil {
		return nil, err
	}
	return pb.NewLocalClient(conn), nil
}
