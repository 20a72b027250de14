package ca

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/swarmnet/swarmnet"
)

const (
	keyFile  = "node.key"
	certFile = "node.crt"
	rootFile = "root.crt"
)

// ErrNoIdentity is what Load returns for a directory without an identity: the node is in no cluster.
var ErrNoIdentity = errors.New("the node has no identity: it is in no cluster")

// Identity is who a node is: its key, its certificate and the root that it trusts. It may be used from many goroutines; a
// renewal takes effect at the next handshake of every TLS configuration made from it.
type Identity struct {
	mu      sync.Mutex // held by renewals
	dir     string     // where it is kept; empty: nowhere
	now     atomic.Pointer[material]
	changed chan struct{} // has one token after a renewal
}

// material is one immutable generation of an identity.
type material struct {
	key     *ecdsa.PrivateKey
	leaf    *x509.Certificate
	root    *x509.Certificate
	subject Subject
	pool    *x509.CertPool
	tls     tls.Certificate
}

func newMaterial(key *ecdsa.PrivateKey, certPEM, rootPEM []byte) (*material, error) {
	leaf, err := parseCert(certPEM)
	if err != nil {
		return nil, fmt.Errorf("the node's certificate cannot be read: %w", err)
	}
	root, err := parseCert(rootPEM)
	if err != nil {
		return nil, fmt.Errorf("the root certificate cannot be read: %w", err)
	}
	if err := leaf.CheckSignatureFrom(root); err != nil {
		return nil, fmt.Errorf("the node's certificate is not signed by the cluster's root: %w", err)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("the node's certificate is for another key")
	}
	subject, err := subjectOf(leaf)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	return &material{
		key: key, leaf: leaf, root: root, subject: subject, pool: pool,
		// The root goes along, for the sake of joiners that know only its digest.
		tls: tls.Certificate{Certificate: [][]byte{leaf.Raw, root.Raw}, PrivateKey: key, Leaf: leaf},
	}, nil
}

func subjectOf(leaf *x509.Certificate) (Subject, error) {
	s := leaf.Subject
	if len(s.Organization) != 1 || len(s.OrganizationalUnit) != 1 || s.CommonName == "" {
		return Subject{}, errors.New("the certificate does not say who its holder is")
	}
	kind := kindOfUnit(s.OrganizationalUnit[0])
	if kind == KindNone {
		return Subject{}, fmt.Errorf("the certificate has the unknown role %q", s.OrganizationalUnit[0])
	}
	return Subject{Cluster: swarmnet.ClusterID(s.Organization[0]), Node: swarmnet.NodeID(s.CommonName), Kind: kind}, nil
}

func newIdentity(key *ecdsa.PrivateKey, certPEM, rootPEM []byte) (*Identity, error) {
	m, err := newMaterial(key, certPEM, rootPEM)
	if err != nil {
		return nil, err
	}
	id := &Identity{changed: make(chan struct{}, 1)}
	id.now.Store(m)
	return id, nil
}

// Load reads the identity that Save has written; ErrNoIdentity when there is none.
func Load(dir string) (*Identity, error) {
	certPEM, err := os.ReadFile(filepath.Join(dir, certFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoIdentity
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the node's certificate: %w", err)
	}
	keyPEM, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, fmt.Errorf("cannot read the node's key: %w", err)
	}
	rootPEM, err := os.ReadFile(filepath.Join(dir, rootFile))
	if err != nil {
		return nil, fmt.Errorf("cannot read the root certificate: %w", err)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", filepath.Join(dir, keyFile), err)
	}
	id, err := newIdentity(key, certPEM, rootPEM)
	if err != nil {
		return nil, fmt.Errorf("the identity in %s is damaged: %w", dir, err)
	}
	id.dir = dir
	return id, nil
}

// Save keeps the identity in dir, and its renewals from now on. The certificate is written last: without it there is no
// identity.
func (id *Identity) Save(dir string) error {
	id.mu.Lock()
	defer id.mu.Unlock()
	m := id.now.Load()
	keyPEM, err := encodeKey(m.key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot keep the identity: %w", err)
	}
	for _, f := range []struct {
		name string
		data []byte
		mode fs.FileMode
	}{{keyFile, keyPEM, 0o600}, {rootFile, encodeCert(m.root.Raw), 0o644}, {certFile, encodeCert(m.leaf.Raw), 0o644}} {
		if err := replaceFile(filepath.Join(dir, f.name), f.data, f.mode); err != nil {
			return fmt.Errorf("cannot keep the identity: %w", err)
		}
	}
	id.dir = dir
	return nil
}

// Forget removes the identity from its directory: the node has left.
func Forget(dir string) error {
	var errs []error
	for _, name := range []string{certFile, keyFile, rootFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (id *Identity) NodeID() swarmnet.NodeID       { return id.now.Load().subject.Node }
func (id *Identity) ClusterID() swarmnet.ClusterID { return id.now.Load().subject.Cluster }

// Role is the role that the certificate in force says.
func (id *Identity) Role() swarmnet.Role {
	if id.now.Load().subject.Kind == KindManager {
		return swarmnet.RoleManager
	}
	return swarmnet.RoleWorker
}

// Serial is the serial number of the certificate in force, in hex.
func (id *Identity) Serial() string { return id.now.Load().leaf.SerialNumber.Text(16) }

// Expiry is when the certificate in force ends.
func (id *Identity) Expiry() time.Time { return id.now.Load().leaf.NotAfter }

// RenewAt is when the certificate in force should be renewed: half-way through its life.
func (id *Identity) RenewAt() time.Time {
	leaf := id.now.Load().leaf
	start := leaf.NotBefore.Add(clockSkew)
	return start.Add(leaf.NotAfter.Sub(start) / 2)
}

// RootCert is the root that the node trusts, PEM.
func (id *Identity) RootCert() []byte { return encodeCert(id.now.Load().root.Raw) }

// Changed has a value after each renewal. One reader.
func (id *Identity) Changed() <-chan struct{} { return id.changed }

// Install puts a new certificate (PEM) for the same key, of the same node and cluster, into force, and keeps it.
func (id *Identity) Install(certPEM []byte) error {
	id.mu.Lock()
	defer id.mu.Unlock()
	old := id.now.Load()
	m, err := newMaterial(old.key, certPEM, encodeCert(old.root.Raw))
	if err != nil {
		return err
	}
	if m.subject.Node != old.subject.Node || m.subject.Cluster != old.subject.Cluster {
		return fmt.Errorf("the new certificate is for node %s of cluster %s, not for this one", m.subject.Node, m.subject.Cluster)
	}
	if id.dir != "" {
		if err := replaceFile(filepath.Join(id.dir, certFile), encodeCert(m.leaf.Raw), 0o644); err != nil {
			return fmt.Errorf("cannot keep the new certificate: %w", err)
		}
	}
	id.now.Store(m)
	select {
	case id.changed <- struct{}{}:
	default:
	}
	return nil
}

// request makes a certificate request for the identity's key.
func request(key *ecdsa.PrivateKey) ([]byte, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("cannot make a certificate request: %w", err)
	}
	return csr, nil
}

// replaceFile writes a file in one step: a crash leaves the old content or the new.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
