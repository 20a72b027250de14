package ca

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// authority is the least server that joins and renews: what package manager does, without the replicated state.
type authority struct {
	pb.UnimplementedCAServer
	cluster swarmnet.Cluster
	role    swarmnet.Role // that renewals give
}

func (a *authority) sign(csr []byte, role swarmnet.Role) (*pb.Certificate, error) {
	root, err := OpenRoot(a.cluster.CA)
	if err != nil {
		return nil, err
	}
	node, err := NodeIDOf(csr)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	cert, _, err := root.Sign(csr, Subject{Cluster: a.cluster.ID, Node: node, Kind: KindOf(role)}, Lifetime(a.cluster.Spec, role), time.Now())
	return &pb.Certificate{Cert: cert, Root: a.cluster.CA.RootCert, Role: wire.RoleToProto(role)}, err
}

func (a *authority) Join(_ context.Context, r *pb.JoinRequest) (*pb.Certificate, error) {
	t, err := ParseToken(r.GetToken())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	role, ok := RoleOf(a.cluster, t)
	if !ok {
		return nil, status.Error(codes.PermissionDenied, "the join token is not valid")
	}
	return a.sign(r.GetCsr(), role)
}

func (a *authority) Renew(ctx context.Context, r *pb.RenewRequest) (*pb.Certificate, error) {
	if _, err := NodeFromContext(ctx); err != nil {
		return nil, status.Error(codes.PermissionDenied, err.Error())
	}
	return a.sign(r.GetCsr(), a.role)
}

func (a *authority) AdminCert(ctx context.Context, _ *pb.RenewRequest) (*pb.Certificate, error) {
	p, err := PeerFromContext(ctx)
	if err != nil {
		return nil, err
	}
	return nil, status.Error(codes.PermissionDenied, p.Actor())
}

func newCluster(t *testing.T) (swarmnet.Cluster, *Identity) {
	t.Helper()
	c, err := NewCluster(swarmnet.DefaultClusterSpec(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	id, node, err := FirstManager(c, "m1", swarmnet.AvailabilityActive, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if node.ID != id.NodeID() || node.CertSerial != id.Serial() || id.ClusterID() != c.ID || id.Role() != swarmnet.RoleManager {
		t.Fatalf("the first manager's identity and node do not agree: %+v", node)
	}
	return c, id
}

func serve(t *testing.T, id *Identity, a *authority) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(id.ServerOptions()...)
	pb.RegisterCAServer(s, a)
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return l.Addr().String()
}

func token(t *testing.T, c swarmnet.Cluster, r swarmnet.Role) string {
	t.Helper()
	s, ok := TokenFor(c, r)
	if !ok {
		t.Fatal("the cluster has no token")
	}
	return s
}

func TestJoinRenewAndReload(t *testing.T) {
	c, id := newCluster(t)
	a := &authority{cluster: c, role: swarmnet.RoleManager}
	addr := serve(t, id, a)
	j, err := Join(t.Context(), []string{addr}, token(t, c, swarmnet.RoleWorker), "w1", swarmnet.AvailabilityActive)
	if err != nil {
		t.Fatal(err)
	}
	worker := j.Identity
	if worker.Role() != swarmnet.RoleWorker || worker.ClusterID() != c.ID || !swarmnet.ValidID(worker.NodeID()) {
		t.Fatalf("joined as %s %s", worker.Role(), worker.NodeID())
	}
	dir := filepath.Join(t.TempDir(), "id")
	if err := worker.Save(dir); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(filepath.Join(dir, keyFile)); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("the key's file: %v %v", st, err)
	}

	conn, err := grpc.NewClient(addr, worker.DialOption())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	before := worker.Serial()
	if err := Renew(t.Context(), conn, worker); err != nil {
		t.Fatal(err)
	}
	if worker.Role() != swarmnet.RoleManager || worker.Serial() == before {
		t.Fatalf("after the renewal: %s, serial changed: %v", worker.Role(), worker.Serial() != before)
	}
	again, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again.Serial() != worker.Serial() || again.NodeID() != worker.NodeID() {
		t.Fatal("the renewal is not on the disk")
	}
	// The promoted node now serves with its new certificate, under a configuration made at any time before.
	conn2, err := grpc.NewClient(serve(t, worker, a), id.DialOption())
	if err != nil {
		t.Fatal(err)
	}
	defer conn2.Close()
	if err := Renew(t.Context(), conn2, id); err != nil && !strings.Contains(err.Error(), "not for this one") {
		t.Fatal(err)
	}
}

func TestJoinIsRefused(t *testing.T) {
	c, id := newCluster(t)
	other, otherID := newCluster(t)
	addr := serve(t, id, &authority{cluster: c})
	otherAddr := serve(t, otherID, &authority{cluster: other})
	rotated := c
	rotated.Tokens = []swarmnet.JoinToken{NewJoinToken(swarmnet.RoleWorker)}
	good := token(t, c, swarmnet.RoleWorker)
	for _, tc := range []struct{ name, remote, token, want string }{
		{"rotated", addr, token(t, rotated, swarmnet.RoleWorker), "the join token is not valid"},
		{"another cluster's token", addr, token(t, other, swarmnet.RoleWorker), "its root certificate is not the one that the join token names"},
		{"another cluster's manager", otherAddr, good, "its root certificate is not the one that the join token names"},
		{"truncated", addr, good[:len(good)-1], "malformed"},
		{"empty", addr, "", "malformed"},
		{"upper case", addr, strings.ToUpper(good), "malformed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Join(t.Context(), []string{tc.remote}, tc.token, "w", 0)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("got %v, want one line that says %q", err, tc.want)
			}
		})
	}
	// A manager that does not answer is passed over for one that does.
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	if _, err := Join(t.Context(), []string{dead.Addr().String(), addr}, good, "w", 0); err != nil {
		t.Fatal(err)
	}
}

// A worker with a valid certificate of the cluster must not pass for a manager, to joiners or to others.
func TestWorkerCannotServe(t *testing.T) {
	c, id := newCluster(t)
	a := &authority{cluster: c, role: swarmnet.RoleWorker}
	j, err := Join(t.Context(), []string{serve(t, id, a)}, token(t, c, swarmnet.RoleWorker), "w", 0)
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, j.Identity, a)
	if _, err := Join(t.Context(), []string{addr}, token(t, c, swarmnet.RoleWorker), "w2", 0); err == nil || !strings.Contains(err.Error(), "not valid") {
		t.Fatalf("a joiner trusted a worker: %v", err)
	}
	conn, err := tls.Dial("tcp", addr, id.ClientTLS())
	if err == nil {
		conn.Close()
		t.Fatal("a manager trusted a worker as a server")
	}
}

func TestServerRefusesStrangersCertificates(t *testing.T) {
	c, id := newCluster(t)
	_, otherID := newCluster(t)
	addr := serve(t, id, &authority{cluster: c})
	cfg := id.ClientTLS()
	stranger := otherID.ClientTLS()
	cfg.GetClientCertificate = stranger.GetClientCertificate
	conn, err := tls.Dial("tcp", addr, cfg)
	if err == nil { // in TLS 1.3 the client's certificate is judged after the client's side of the handshake
		_, err = conn.Read(make([]byte, 1))
		conn.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Fatalf("another cluster's certificate was accepted: %v", err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir); err != ErrNoIdentity {
		t.Fatalf("got %v", err)
	}
	_, id := newCluster(t)
	if err := id.Save(dir); err != nil {
		t.Fatal(err)
	}
	_, other := newCluster(t)
	if err := other.Save(filepath.Join(dir, "other")); err != nil {
		t.Fatal(err)
	}
	swap, err := os.ReadFile(filepath.Join(dir, "other", keyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, keyFile), swap, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "for another key") {
		t.Fatalf("a key that is not the certificate's: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, keyFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Fatalf("a damaged key: %v", err)
	}
	if err := Forget(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err != ErrNoIdentity {
		t.Fatalf("after Forget: %v", err)
	}
}

func TestRenewAtHalfLife(t *testing.T) {
	_, id := newCluster(t)
	if left := time.Until(id.RenewAt()); left > 6*time.Hour || left < 6*time.Hour-time.Minute {
		t.Fatalf("a manager's certificate of 12 h is renewed in %s", left)
	}
}

func TestTokenRoundTrip(t *testing.T) {
	c, _ := newCluster(t)
	s := token(t, c, swarmnet.RoleManager)
	parsed, err := ParseToken(s)
	if err != nil || parsed.String() != s {
		t.Fatalf("%s became %s: %v", s, parsed, err)
	}
	if role, ok := RoleOf(c, parsed); !ok || role != swarmnet.RoleManager {
		t.Fatalf("role %s, known %v", role, ok)
	}
	parsed.Digest = strings.Repeat("0", digestLength)
	if _, ok := RoleOf(c, parsed); ok {
		t.Fatal("a token with another digest is accepted")
	}
}
