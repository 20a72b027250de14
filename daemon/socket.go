package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"golang.org/x/sync/errgroup"
)

// listenLocal opens the unix socket of the local API, root's alone. A socket that a dead daemon left is taken over; a living
// daemon's is not.
func listenLocal(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the run directory: %w", err)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("a daemon already answers on %s: stop it first, or give this one another --run-dir", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// serve runs a gRPC server on l until ctx ends, then lets the calls in flight end for a moment.
func serve(ctx context.Context, s *grpc.Server, l net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := s.Serve(l); !errors.Is(err, grpc.ErrServerStopped) { // that it is when it was stopped before it began
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		stop := time.AfterFunc(time.Second, s.Stop)
		defer stop.Stop()
		s.GracefulStop()
		return nil
	})
	return g.Wait()
}
