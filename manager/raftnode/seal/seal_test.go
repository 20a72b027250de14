package seal

import (
	"bytes"
	"errors"
	"testing"
)

func TestOpensOnlyWhatItSealedThere(t *testing.T) {
	key, salt, id := bytes.Repeat([]byte{1}, KeySize), bytes.Repeat([]byte{2}, SaltSize), Identity{"c", 1}
	file := func(key, salt []byte, id Identity, kind string, number uint64) File {
		f, err := NewFile(key, salt, id, kind, number)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := file(key, salt, id, "log", 1)
	sealed := f.Seal(nil, 64, []byte("plain"), []byte("head"))
	if len(sealed) != 5+Overhead || bytes.Contains(sealed, []byte("plain")) {
		t.Errorf("%q", sealed)
	}
	if got, err := f.Open(nil, 64, sealed, []byte("head")); err != nil || string(got) != "plain" {
		t.Errorf("%q, %v", got, err)
	}
	other := bytes.Repeat([]byte{3}, KeySize)
	for name, wrong := range map[string]func() ([]byte, error){
		"position": func() ([]byte, error) { return f.Open(nil, 72, sealed, []byte("head")) },
		"head":     func() ([]byte, error) { return f.Open(nil, 64, sealed, []byte("heed")) },
		"bytes": func() ([]byte, error) {
			return f.Open(nil, 64, append([]byte{sealed[0] ^ 1}, sealed[1:]...), []byte("head"))
		},
		"key": func() ([]byte, error) { return file(other, salt, id, "log", 1).Open(nil, 64, sealed, []byte("head")) },
		"salt": func() ([]byte, error) {
			return file(key, other[:SaltSize], id, "log", 1).Open(nil, 64, sealed, []byte("head"))
		},
		"cluster": func() ([]byte, error) {
			return file(key, salt, Identity{"d", 1}, "log", 1).Open(nil, 64, sealed, []byte("head"))
		},
		"member": func() ([]byte, error) {
			return file(key, salt, Identity{"c", 2}, "log", 1).Open(nil, 64, sealed, []byte("head"))
		},
		"kind": func() ([]byte, error) {
			return file(key, salt, id, "snapshot", 1).Open(nil, 64, sealed, []byte("head"))
		},
		"number": func() ([]byte, error) { return file(key, salt, id, "log", 2).Open(nil, 64, sealed, []byte("head")) },
	} {
		if got, err := wrong(); !errors.Is(err, ErrOpen) {
			t.Errorf("another %s: %q, %v", name, got, err)
		}
	}
	if _, err := NewFile(key[1:], salt, id, "log", 1); err == nil {
		t.Error("a short key is taken")
	}
}
