package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/swarmnet/swarmnet"
)

const (
	rootLifetime = 20 * 365 * 24 * time.Hour
	// clockSkew is how far a node's clock may be behind the signer's.
	clockSkew = 10 * time.Minute

	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY"
)

// Root signs the certificates of one cluster.
type Root struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// NewRoot makes the authority of a new cluster.
func NewRoot(cluster swarmnet.ClusterID, now time.Time) (swarmnet.CA, error) {
	key, err := newKey()
	if err != nil {
		return swarmnet.CA{}, err
	}
	serial, err := newSerial()
	if err != nil {
		return swarmnet.CA{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "swarmnet-ca", Organization: []string{string(cluster)}},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(rootLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return swarmnet.CA{}, fmt.Errorf("cannot make the root certificate: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return swarmnet.CA{}, err
	}
	return swarmnet.CA{RootCert: encodeCert(der), RootKey: keyPEM, Digest: Digest(der)}, nil
}

// OpenRoot reads the authority out of the cluster's state.
func OpenRoot(c swarmnet.CA) (*Root, error) {
	cert, err := parseCert(c.RootCert)
	if err != nil {
		return nil, fmt.Errorf("the root certificate cannot be read: %w", err)
	}
	key, err := parseKey(c.RootKey)
	if err != nil {
		return nil, fmt.Errorf("the root key cannot be read: %w", err)
	}
	return &Root{cert: cert, key: key}, nil
}

// Subject is who a certificate is for.
type Subject struct {
	Cluster swarmnet.ClusterID
	Node    swarmnet.NodeID // an admin's name on admin certificates
	Kind    Kind
}

// Sign answers a certificate request (PKCS #10, DER) with a certificate (PEM) and its serial number in hex. Nothing of the
// request but its key counts.
func (r *Root) Sign(csr []byte, s Subject, lifetime time.Duration, now time.Time) (cert []byte, serial string, err error) {
	req, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, "", fmt.Errorf("the certificate request cannot be read: %w", err)
	}
	if err := req.CheckSignature(); err != nil {
		return nil, "", fmt.Errorf("the certificate request is not signed by its own key: %w", err)
	}
	if k, ok := req.PublicKey.(*ecdsa.PublicKey); !ok || k.Curve != elliptic.P256() {
		return nil, "", errors.New("the certificate request's key is not ECDSA P-256")
	}
	n, err := newSerial()
	if err != nil {
		return nil, "", err
	}
	template := &x509.Certificate{
		SerialNumber: n,
		Subject: pkix.Name{
			CommonName: string(s.Node), OrganizationalUnit: []string{s.Kind.unit()}, Organization: []string{string(s.Cluster)},
		},
		NotBefore:   now.Add(-clockSkew),
		NotAfter:    now.Add(lifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if s.Kind == KindManager {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		template.DNSNames = []string{ServerName(s.Cluster)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, r.cert, req.PublicKey, r.key)
	if err != nil {
		return nil, "", fmt.Errorf("cannot sign the certificate: %w", err)
	}
	return encodeCert(der), n.Text(16), nil
}

// Lifetime is how long a new certificate of a role is valid: managers' half as long as workers'.
func Lifetime(spec swarmnet.ClusterSpec, role swarmnet.Role) time.Duration {
	d := spec.CertExpiry
	if d <= 0 {
		d = swarmnet.DefaultClusterSpec().CertExpiry
	}
	if role == swarmnet.RoleManager {
		d /= 2
	}
	return d
}

// ServerName is the DNS name that the managers' certificates of a cluster carry.
func ServerName(c swarmnet.ClusterID) string { return "manager." + string(c) + ".swarmnet" }

// NodeIDOf is the id of the node that holds the key of a certificate request: a node that asks twice is one node.
func NodeIDOf(csr []byte) (swarmnet.NodeID, error) {
	req, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return "", fmt.Errorf("the certificate request cannot be read: %w", err)
	}
	return swarmnet.NodeID(swarmnet.DeriveID("node", string(req.RawSubjectPublicKeyInfo))), nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot make a key: %w", err)
	}
	return key, nil
}

func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("cannot draw a serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("cannot encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

// parseCert reads the first certificate of a PEM text.
func parseCert(b []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != pemCertificate {
		return nil, errors.New("it holds no PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

func parseKey(b []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != pemKey {
		return nil, errors.New("it holds no PEM private key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	k, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("it is not an ECDSA key")
	}
	return k, nil
}
