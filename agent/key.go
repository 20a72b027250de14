package agent

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
)

// gossipKey reads the key that signs this node's gossip rows, or makes it. The others learn its public half from the managers.
func gossipKey(path string) (ed25519.PrivateKey, error) {
	seed, err := os.ReadFile(path)
	switch {
	case err == nil && len(seed) == ed25519.SeedSize:
		return ed25519.NewKeyFromSeed(seed), nil
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("gossip key: %w", err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, key.Seed(), 0o600); err != nil {
		return nil, fmt.Errorf("gossip key: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return nil, fmt.Errorf("gossip key: %w", err)
	}
	return key, nil
}
