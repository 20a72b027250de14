package rpcauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet/ca"
)

// as returns the context of a call by a kind of caller, as gRPC would make it.
func as(kind string) context.Context {
	p := &peer.Peer{Addr: &net.TCPAddr{}, AuthInfo: credentials.TLSInfo{}}
	switch kind {
	case "anyone":
	case "local":
		p = &peer.Peer{Addr: &net.UnixAddr{Net: "unix"}}
	case "cleartext":
		p = &peer.Peer{Addr: &net.TCPAddr{}}
	default:
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(1),
			Subject:      pkix.Name{CommonName: "n1", Organization: []string{"c1"}, OrganizationalUnit: []string{"swarmnet-" + kind}},
		}
		p.AuthInfo = credentials.TLSInfo{State: tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf}}}}
	}
	return peer.NewContext(context.Background(), p)
}

// TestTable holds every method of every service against every kind of caller. The golden file is the table that a reviewer
// reads: SWARMNET_UPDATE=1 rewrites it.
func TestTable(t *testing.T) {
	g := Guard{Rules: FromProto("swarmnet.v1")}
	callers := []string{"anyone", "cleartext", "worker", "manager", "admin", "local"}
	var b strings.Builder
	for _, m := range slices.Sorted(maps.Keys(g.Rules)) {
		var may []string
		for _, c := range callers {
			ctx, err := g.Authorise(as(c), m)
			switch {
			case err == nil:
				may = append(may, c)
				if got := Peer(ctx).Kind; (got == ca.KindNone) != (c == "anyone") {
					t.Errorf("%s by %s: the caller counts as %s", m, c, got)
				}
			case status.Code(err) != codes.PermissionDenied && status.Code(err) != codes.Unauthenticated:
				t.Errorf("%s by %s: %v", m, c, err)
			}
		}
		fmt.Fprintf(&b, "%-45s %s\n", m, strings.Join(may, " "))
	}
	const golden = "testdata/table.txt"
	if os.Getenv("SWARMNET_UPDATE") != "" {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("who may call what has changed; if that is meant, run the test with SWARMNET_UPDATE=1\ngot:\n%s\nwant:\n%s", &b, want)
	}
}

func TestUnknownMethodIsDenied(t *testing.T) {
	g := Guard{Rules: FromProto("swarmnet.v1")}
	for _, c := range []string{"anyone", "worker", "manager", "admin", "local"} {
		if _, err := g.Authorise(as(c), "/swarmnet.v1.Control/Nothing"); err == nil {
			t.Errorf("%s may call a method that does not exist", c)
		}
	}
}

func TestOddCertificatesAreDenied(t *testing.T) {
	g := Guard{Rules: FromProto("swarmnet.v1")}
	for _, kind := range []string{"boss", "", "Manager"} {
		if _, err := g.Authorise(as(kind), "/swarmnet.v1.CA/Join"); status.Code(err) != codes.Unauthenticated {
			t.Errorf("role %q: %v", kind, err)
		}
	}
}

type demoted struct{}

func (demoted) KindOf(context.Context, ca.Peer, string) (ca.Kind, error) { return ca.KindWorker, nil }

func TestMembersDecide(t *testing.T) {
	g := Guard{Rules: FromProto("swarmnet.v1"), Members: demoted{}}
	if _, err := g.Authorise(as("manager"), "/swarmnet.v1.Raft/Messages"); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a demoted manager may speak raft: %v", err)
	}
	if _, err := g.Authorise(as("manager"), "/swarmnet.v1.CA/Renew"); err != nil {
		t.Errorf("a demoted manager may not renew: %v", err)
	}
}
