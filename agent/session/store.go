package session

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// magic begins the file of the last set; then come the SHA-256 of the rest, and the rest: a swarmnet.v1.Assignments.
const magic = "swarmnet assignments 1\n"

// save replaces the file of the last set, so that after a crash of the daemon it holds the old one or the new one, whole; after one of the host it holds
// what was settled, or is damaged, and is passed over.
func save(path string, set swarmnet.AssignmentSet) error {
	body, err := proto.Marshal(wire.AssignmentSetToProto(set))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, bytes.Join([][]byte{[]byte(magic), sum[:], body}, nil), 0o600); err != nil { // it holds keys
		return err
	}
	return os.Rename(tmp, path)
}

// settle has what was saved outlast the power.
func settle(path string) error {
	var errs []error
	for _, p := range []string{path, filepath.Dir(path)} {
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		errs = append(errs, f.Sync(), f.Close())
	}
	return errors.Join(errs...)
}

// Load reads the file of the last set. The error is os.ErrNotExist when there is none.
func Load(path string) (swarmnet.AssignmentSet, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return swarmnet.AssignmentSet{}, err
	}
	b, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok || len(b) < sha256.Size {
		return swarmnet.AssignmentSet{}, fmt.Errorf("%s is not a file of assignments", path)
	}
	body := b[sha256.Size:]
	if sha256.Sum256(body) != [sha256.Size]byte(b[:sha256.Size]) {
		return swarmnet.AssignmentSet{}, fmt.Errorf("%s is damaged: its digest does not match", path)
	}
	var m pb.Assignments
	if err := proto.Unmarshal(body, &m); err != nil {
		return swarmnet.AssignmentSet{}, fmt.Errorf("%s: %w", path, err)
	}
	set, err := wire.AssignmentSetFromProto(&m)
	if err != nil {
		return swarmnet.AssignmentSet{}, fmt.Errorf("%s: %w", path, err)
	}
	return set, nil
}
