package node_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/ciro-network/ciro/"

// below says which top folders each top folder may import, beside itself.
var below = map[string][]string{
	"scheduler": {},
	"p2p":       {},
	"chain":     {},
	"examples":  {},
	"node":      {"scheduler", "p2p", "chain"},
	"cmd":       {"node", "examples", "scheduler/sim"},
}

// leaves are the children of node/ that its other children may import.
var leaves = []string{"node/config", "node/constraint", "node/jobspec", "node/meshpb", "node/store"}

// TestArrowsPointDown reads the imports of every file: arrows go down only, the
// three bottom folders do not know each other, and the children of node/ know
// neither node itself nor each other but for the leaves.
func TestArrowsPointDown(t *testing.T) {
	seen := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			seen++
			checkFile(t, filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 50 {
		t.Fatalf("only %d files were read", seen)
	}
}

func checkFile(t *testing.T, path string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	from := filepath.ToSlash(filepath.Dir(strings.TrimPrefix(path, "../")))
	for _, imp := range file.Imports {
		to, ours := strings.CutPrefix(strings.Trim(imp.Path.Value, `"`), module)
		if ours && !allowed(from, to, strings.HasSuffix(path, "_test.go")) {
			t.Errorf("%s: %s may not import %s", path, from, to)
		}
	}
}

// within says whether a package is a folder or lies below it.
func within(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

func allowed(from, to string, test bool) bool {
	top, _, _ := strings.Cut(from, "/")
	if !within(to, top) {
		for _, f := range below[top] {
			if within(to, f) {
				return true
			}
		}
		return false
	}
	if top != "node" || from == "node" {
		return true
	}
	if to == "node" { // composed clusters for tests look at the whole
		return within(from, "node/nodetest") || test
	}
	for _, l := range leaves {
		if within(to, l) {
			return true
		}
	}
	child := func(p string) string { return strings.Join(strings.SplitN(p, "/", 3)[:2], "/") }
	return child(from) == child(to) || within(from, "node/nodetest") || test
}

// TestNothingElseOnTop keeps the top level to what was agreed on.
func TestNothingElseOnTop(t *testing.T) {
	allowed := map[string]bool{
		"node": true, "p2p": true, "scheduler": true, "chain": true, "cmd": true, "examples": true, "go.mod": true, "go.sum": true,
		"Makefile": true, "LICENSE": true, "README.md": true, ".ci": true, ".gitignore": true, ".golangci.yml": true, ".git": true,
		"bin": true, "demo-out": true, // made by the Makefile, ignored by git
	}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !allowed[e.Name()] {
			t.Errorf("%s does not belong to the top level", e.Name())
		}
	}
}
