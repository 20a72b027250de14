// Package archtest enforces the import rules of ARCHITECTURE.md: a change that breaks one fails here, with the reason.
package archtest

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/swarmnet/swarmnet"

// pure lists the packages that compute and do nothing else. A trailing /... takes the packages below in.
var pure = []string{
	"", "ipam", "manager/state", "manager/allocator", "manager/orchestrator", "manager/scheduler", "manager/planner",
	"overlay", "ingress", "dns/records", "gossip", "agent/desired", "agent/local", "driver",
	"doctor", "trace", "pathmtu", "internal/ordered", "internal/changes",
}

// notPure is what a pure package may not import, and why.
var notPure = map[string]string{
	"google.golang.org/grpc":         "a pure package speaks to nobody",
	"go.etcd.io/raft":                "the state does not know how it is replicated",
	"github.com/hashicorp":           "tables do not know what carries them",
	"github.com/vishvananda/netlink": "computing what the kernel should be is apart from the kernel",
	"github.com/google/nftables":     "computing what the kernel should be is apart from the kernel",
	"github.com/miekg/dns":           "records do not know the wire",
	"golang.org/x/sys":               "a pure package makes no system calls",
	"os":                             "a pure package does no I/O",
	"log":                            "a pure package returns errors; only loops log",
	"net/http":                       "a pure package speaks to nobody",
	"syscall":                        "a pure package makes no system calls",
}

// rules are the other import rules: who may not import what, but for whom, and why.
var rules = []struct {
	from, imports string
	except        []string
	why           string
}{
	{"", "github.com/vishvananda/netlink", []string{"internal/nl"}, "internal/nl is the only importer of vishvananda/netlink: batching and retries live there"},
	{"manager", module + "/agent", nil, "managers and agents meet in proto"},
	{"agent", module + "/manager", nil, "managers and agents meet in proto"},
	{"", "github.com/hashicorp/memberlist", []string{"gossip/member"}, "memberlist is one adapter of the gossip tables"},
	{"", "github.com/containernetworking/cni", []string{"driver/cni", "internal/cnitest"}, "driver/cni alone calls CNI plugins"},
	{"", "go.etcd.io/raft/v3", []string{"manager/raftnode"}, "raftnode alone knows raft"},
	{"manager/raftnode", module + "/manager/state", nil, "raftnode knows nothing of what it replicates"},
	{"", "github.com/spf13/cobra", []string{"cli", "cmd", "lab"}, "only the command line parses a command line"},
	{"overlay", module + "/manager", nil, "the data path does not know the managers"},
	{"ingress", module + "/manager", nil, "the data path does not know the managers"},
}

// namespaceCalls may only be made by internal/netns (and by what starts whole processes in namespaces, through SysProcAttr).
var namespaceCalls = map[string]bool{"Setns": true, "Unshare": true}

type pkg struct {
	ImportPath string
	Name       string
	Dir        string
	GoFiles    []string
	Imports    []string
}

func (p pkg) rel() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

func TestImports(t *testing.T) {
	pkgs := list(t)
	isPure := map[string]bool{}
	for _, p := range pure {
		isPure[strings.TrimSuffix(module+"/"+p, "/")] = true
	}
	for _, p := range pkgs {
		for _, imp := range p.Imports {
			for _, r := range rules {
				if within(p.rel(), r.from) && pathWithin(imp, r.imports) && !slices.ContainsFunc(r.except, func(e string) bool { return within(p.rel(), e) }) {
					t.Errorf("%s imports %s: %s", p.rel(), imp, r.why)
				}
			}
			if !isPure[p.ImportPath] {
				continue
			}
			for bad, why := range notPure {
				if pathWithin(imp, bad) {
					t.Errorf("%s is pure and imports %s: %s", p.rel(), imp, why)
				}
			}
			if pathWithin(imp, module) && !isPure[imp] && !pathWithin(imp, module+"/proto") {
				t.Errorf("%s is pure and imports %s, which is not", p.rel(), imp)
			}
		}
	}
}

func TestCalls(t *testing.T) {
	clock := map[string]bool{"Now": true, "Since": true, "Until": true, "Sleep": true, "After": true, "AfterFunc": true, "NewTimer": true, "NewTicker": true, "Tick": true}
	for _, p := range list(t) {
		pureHere := slices.Contains(pure, p.rel())
		for _, name := range p.GoFiles {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				x, ok := sel.X.(*ast.Ident)
				if !ok {
					return true
				}
				at := fset.Position(n.Pos())
				switch {
				case pureHere && x.Name == "time" && clock[sel.Sel.Name]:
					t.Errorf("%s: a pure package takes the time as an argument", at)
				case x.Name == "os" && sel.Sel.Name == "Exit" && p.Name != "main":
					t.Errorf("%s: only main ends the process", at)
				case (x.Name == "unix" || x.Name == "syscall" || x.Name == "netns") && namespaceCalls[sel.Sel.Name] && p.rel() != "internal/netns":
					t.Errorf("%s: only internal/netns changes a thread's namespaces", at)
				case x.Name == "log" && strings.HasPrefix(sel.Sel.Name, "Fatal"):
					t.Errorf("%s: only main ends the process", at)
				}
				return true
			})
		}
	}
}

// within reports whether the package path rel is dir or below it; every package is below "".
func within(rel, dir string) bool {
	return dir == "" || rel == dir || strings.HasPrefix(rel, dir+"/")
}

func pathWithin(imp, root string) bool { return imp == root || strings.HasPrefix(imp, root+"/") }

func list(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Name,Dir,GoFiles,Imports", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if len(pkgs) < 5 {
		t.Fatalf("go list found only %d packages", len(pkgs))
	}
	return pkgs
}
