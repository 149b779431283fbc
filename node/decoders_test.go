package node_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// decoders lists every function of the module that turns bytes into values by one
// of the general decoders, with the fuzz target that feeds it or with the reason
// why its bytes are to be trusted. A function that is missing here fails the test.
var decoders = map[string]string{}

// general are the calls that begin to decode something.
var general = []string{"proto.Unmarshal", "Unmarshal", "json.Unmarshal", "json.NewDecoder", "codec.NewReader", "yaml.Unmarshal", "toml.Parser", "gzip.NewReader", "UnmarshalPrivateKey"}

// TestDecodersAreListed reads the sources of the module.
func TestDecodersAreListed(t *testing.T) {
	found, targets := map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".pb.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../")
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			switch {
			case !ok || fn.Body == nil:
			case strings.HasSuffix(path, "_test.go"):
				targets[folder+"."+fn.Name.Name] = strings.HasPrefix(fn.Name.Name, "Fuzz")
			case decodes(fn):
				found[folder+"."+name(fn)] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, fn := range sorted(found) {
		if decoders[fn] == "" {
			t.Errorf("%s decodes bytes and is not in the list: name the fuzz target that feeds it, or why its bytes are trusted", fn)
		}
	}
	for _, fn := range sorted(decoders) {
		target, fuzzed := strings.CutPrefix(decoders[fn], "fuzz ")
		switch {
		case !found[fn]:
			t.Errorf("%s is listed and decodes nothing any more", fn)
		case fuzzed && !targets[target]:
			t.Errorf("%s is said to be fed by %s, which is no fuzz target", fn, target)
		case fuzzed:
			if _, err := os.Stat(filepath.Join("..", strings.Split(target, ".")[0])); err != nil {
				t.Error(err)
			}
		}
	}
}

func sorted[V any](m map[string]V) []string {
	var out []string
	for k := range m { // any order: sorted below
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// name is a function's name with its receiver's type.
func name(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	kind := fn.Recv.List[0].Type
	if star, ok := kind.(*ast.StarExpr); ok {
		kind = star.X
	}
	if generic, ok := kind.(*ast.IndexExpr); ok {
		kind = generic.X
	}
	if id, ok := kind.(*ast.Ident); ok {
		return id.Name + "." + fn.Name.Name
	}
	return fn.Name.Name
}

// decodes says whether a function calls one of the general decoders.
func decodes(fn *ast.FuncDecl) bool {
	yes := false
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if s, ok := call.Fun.(*ast.SelectorExpr); ok {
			text := s.Sel.Name
			if id, ok := s.X.(*ast.Ident); ok {
				text = id.Name + "." + text
			}
			yes = yes || slices.Contains(general, text) || slices.Contains(general, s.Sel.Name)
		}
		return true
	})
	return yes
}
