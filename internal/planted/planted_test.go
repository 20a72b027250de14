package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The list follows the code: what a bug replaces is there, once, and what it leaves behind is Go. That the tests catch it
// takes minutes: make planted.
func TestListIsUpToDate(t *testing.T) {
	all := bugs()
	if len(all) < 20 {
		t.Errorf("%d bugs", len(all))
	}
	names := map[string]bool{}
	for _, b := range all {
		source, err := os.ReadFile(filepath.Join("..", "..", b.File))
		if err != nil {
			t.Errorf("%s: %v", b.Name, err)
			continue
		}
		planted, err := b.plant(string(source))
		if err != nil {
			t.Errorf("%s is stale: %v", b.Name, err)
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), b.File, planted, 0); err != nil {
			t.Errorf("%s: %v", b.Name, err)
		}
		if names[b.Name] || b.Name == "" || b.Why == "" || b.Test.Run == "" || planted == string(source) {
			t.Errorf("%q is not complete, or there twice", b.Name)
		}
		if names[b.Name] = true; strings.ContainsAny(b.Name, "/ ") {
			t.Errorf("%q names a directory", b.Name)
		}
	}
}

func TestChoose(t *testing.T) {
	all := []Bug{{Name: "wal-a"}, {Name: "wal-b"}, {Name: "dns-a"}}
	if got := choose(all, nil); len(got) != 3 {
		t.Error(got)
	}
	if got := choose(all, []string{"wal", "dns-a"}); len(got) != 3 {
		t.Error(got)
	}
	if got := choose(all, []string{"wal-b"}); len(got) != 1 || got[0].Name != "wal-b" {
		t.Error(got)
	}
}
