package scheduler

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ciro-network/ciro/scheduler"

// allowed is what the whole core may import beside its own packages. It grows by
// review only.
var allowed = []string{
	"cmp", "crypto/sha256", "encoding/binary", "errors", "fmt", "iter", "maps", "math", "math/rand/v2",
	"slices", "strconv", "strings", "time",
}

// allowedIn is what one package may import beyond that: the replica is a Raft
// member that looks at its followers' progress (raft's own package tracker, a
// value too), and Raft's configuration changes are protobuf messages.
var allowedIn = map[string][]string{
	"shard": {"go.etcd.io/raft/v3", "go.etcd.io/raft/v3/raftpb", "go.etcd.io/raft/v3/tracker", "google.golang.org/protobuf/proto"},
}

// worldly are the functions of package time that read or wait for the clock.
var worldly = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}

// pack is one package of the core as the test sees it.
type pack struct {
	path  string // below scheduler
	fset  *token.FileSet
	files []*ast.File
	info  *types.Info
}

// TestCoreIsPure reads every package of the core but the simulator: no import
// that is not listed, no goroutine, channel or select, no clock, no global
// randomness, and no range over a map without a word on why its order does not
// matter.
func TestCoreIsPure(t *testing.T) {
	fset := token.NewFileSet()
	checked, dirs := 0, corePackages(t)
	from := exported(t, fset, dirs)
	for _, dir := range dirs {
		p := pack{path: filepath.ToSlash(dir), fset: fset, info: &types.Info{
			Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{},
		}}
		p.files = parseDir(t, fset, dir)
		conf := types.Config{Importer: from}
		if _, err := conf.Check(module+"/"+p.path, fset, p.files, p.info); err != nil {
			t.Fatalf("%s does not compile: %v", dir, err)
		}
		for _, f := range p.files {
			for _, complaint := range p.judge(f) {
				t.Error(complaint)
			}
			checked++
		}
	}
	if checked < 20 {
		t.Errorf("only %d files were read; the walk misses the core", checked)
	}
}

// exported imports what the compiler has already made of the packages that the
// core uses, which is much faster than reading their source.
func exported(t *testing.T, fset *token.FileSet, dirs []string) types.Importer {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}"}
	for _, dir := range dirs {
		args = append(args, "./"+filepath.ToSlash(dir))
	}
	cmd := exec.Command("go", args...)
	cmd.Stderr = t.Output()
	list, err := cmd.Output()
	if err != nil {
		t.Fatalf("list the core's packages: %v", err)
	}
	files := map[string]string{}
	for line := range strings.Lines(string(list)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		files[path] = file
	}
	return importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if files[path] == "" {
			return nil, fmt.Errorf("nothing is compiled of %s", path)
		}
		return os.Open(files[path])
	})
}

// corePackages lists the folders of the core, the simulator excepted.
func corePackages(t *testing.T) (dirs []string) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); path == "sim" || name == "testdata" {
			return filepath.SkipDir
		}
		if names, _ := filepath.Glob(filepath.Join(path, "*.go")); len(names) > 0 {
			dirs = append(dirs, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

func parseDir(t *testing.T, fset *token.FileSet, dir string) (files []*ast.File) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// judge returns the complaints about one file.
func (p *pack) judge(f *ast.File) (complaints []string) {
	say := func(at token.Pos, what string) {
		complaints = append(complaints, p.fset.Position(at).String()+": "+what)
	}
	for _, imp := range f.Imports {
		name := strings.Trim(imp.Path.Value, `"`)
		own := strings.HasPrefix(name, module+"/") && name != module+"/sim"
		if !own && !slices.Contains(allowed, name) && !slices.Contains(allowedIn[p.path], name) {
			say(imp.Pos(), "the core may not import "+name)
		}
	}
	reasoned := map[int]bool{} // lines right below a comment that gives the reason
	for _, c := range f.Comments {
		if strings.HasPrefix(c.Text(), "any order: ") {
			reasoned[p.fset.Position(c.End()).Line+1] = true
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt, *ast.SelectStmt, *ast.ChanType, *ast.SendStmt:
			say(n.Pos(), "goroutine or channel")
		case *ast.RangeStmt:
			_, isMap := p.info.TypeOf(n.X).Underlying().(*types.Map)
			if isMap && !reasoned[p.fset.Position(n.Pos()).Line] {
				say(n.Pos(), "range over a map: sort the keys, or say above it \"any order: why\"")
			}
		case *ast.Ident:
			if fn, ok := p.info.Uses[n].(*types.Func); ok && readsWorld(fn) {
				say(n.Pos(), fn.FullName()+" reads the world")
			}
		}
		return true
	})
	return complaints
}

// readsWorld says whether a function depends on more than its arguments.
func readsWorld(fn *types.Func) bool {
	if fn.Pkg() == nil || fn.Signature().Recv() != nil {
		return false
	}
	switch name := fn.Name(); fn.Pkg().Path() {
	case "time":
		return slices.Contains(worldly, name)
	case "math/rand/v2":
		return !strings.HasPrefix(name, "New")
	case "maps":
		return name == "Keys" || name == "Values" || name == "All"
	case "fmt":
		return strings.HasPrefix(name, "Print") || strings.HasPrefix(name, "Scan")
	}
	return false
}

// TestPurityNoticesOffences shows that the judge can find what it looks for.
func TestPurityNoticesOffences(t *testing.T) {
	const offender = `package offender
import (
	"maps"
	"math/rand/v2"
	"os"
	"time"
)
func bad(m map[int]int, c chan int) int {
	go os.Exit(1)
	for k := range m { c <- k }
	// any order: only counted
	for range m { _ = maps.Keys(m) }
	_ = time.Now()
	return rand.New(rand.NewPCG(1, 2)).IntN(3) + rand.IntN(3)
}`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "offender.go", offender, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	p := pack{path: "offender", fset: fset, info: &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{},
	}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "source", nil)}
	if _, err := conf.Check("offender", fset, []*ast.File{f}, p.info); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(p.judge(f), "\n")
	for _, want := range []string{
		"may not import os", "offender.go:8:27: goroutine or channel", "offender.go:9:2: goroutine or channel",
		"offender.go:10:2: range over a map", "offender.go:10:21: goroutine or channel", "maps.Keys", "time.Now",
		"offender.go:14:52: math/rand/v2.IntN",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no complaint %q in:\n%s", want, got)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != 8 {
		t.Errorf("%d complaints, want 8:\n%s", n, got)
	}
}
