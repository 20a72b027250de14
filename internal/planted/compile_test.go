package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A bug that does not compile catches nothing. The compiler is not asked: its export data of what is imported, which the build keeps, is enough to check
// one package in no time.
func TestEveryBugCompiles(t *testing.T) {
	root := filepath.Join("..", "..")
	p := newPackages(t, root)
	for _, b := range bugs() {
		source, err := os.ReadFile(filepath.Join(root, b.File))
		if err != nil {
			t.Fatal(err)
		}
		planted, err := b.plant(string(source))
		if err != nil {
			continue // it is stale, and another test says so
		}
		if err := p.check(filepath.Dir(b.File), filepath.Base(b.File), planted); err != nil {
			t.Errorf("%s does not compile: %v", b.Name, err)
		}
	}
}

// packages type-checks packages of the module with one file of them replaced.
type packages struct {
	fset    *token.FileSet
	imports types.Importer
	files   map[string][]string             // by directory from the root: paths
	parsed  map[string]map[string]*ast.File // by directory, by name
}

func newPackages(t *testing.T, root string) *packages {
	t.Helper()
	cmd := exec.Command("go", "list", "-export", "-deps", "-f", `{{.ImportPath}}|{{.Export}}|{{if not .Standard}}{{.Dir}}|{{join .GoFiles "|"}}{{end}}`, "./...")
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	p := &packages{fset: token.NewFileSet(), files: map[string][]string{}, parsed: map[string]map[string]*ast.File{}}
	export := map[string]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "|")
		export[f[0]] = f[1]
		if dir, err := filepath.Rel(abs, f[2]); f[2] != "" && err == nil && filepath.IsLocal(dir) {
			for _, name := range f[3:] {
				p.files[dir] = append(p.files[dir], filepath.Join(f[2], name))
			}
		}
	}
	p.imports = importer.ForCompiler(p.fset, "gc", func(path string) (io.ReadCloser, error) {
		b, err := os.ReadFile(export[path])
		return io.NopCloser(bytes.NewReader(b)), err
	})
	return p
}

// check says the first thing that is wrong with a package one of whose files has another text.
func (p *packages) check(dir, name, text string) error {
	if p.parsed[dir] == nil {
		p.parsed[dir] = map[string]*ast.File{}
		for _, path := range p.files[dir] {
			f, err := parser.ParseFile(p.fset, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			p.parsed[dir][filepath.Base(path)] = f
		}
	}
	if p.parsed[dir][name] == nil {
		return errors.New("its file is none of the package's")
	}
	planted, err := parser.ParseFile(p.fset, filepath.Join(dir, name), text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	files := []*ast.File{planted}
	for other, f := range p.parsed[dir] {
		if other != name {
			files = append(files, f)
		}
	}
	_, err = (&types.Config{Importer: p.imports}).Check(fmt.Sprintf("planted/%s", dir), p.fset, files, nil)
	return err
}
