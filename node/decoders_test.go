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
var decoders = map[string]string{
	"chain/proof.Decode":                      "fuzz chain/proof.FuzzVerify",
	"cmd/ciro.console.importIdentity":         "a file of the person who calls",
	"cmd/ciro.console.orShipped":              "a document of the person who calls; node/jobspec reads it again",
	"cmd/ciro.simChild":                       "the parent process's own word",
	"examples.Template.Open":                  "shipped with the program",
	"examples/ai-inference/train.readPackage": "the training program's own data",
	"examples/exampletest.Unpack":             "tests only",
	"examples/wordcount/guest.gather":         "inside the sandbox",
	"node.Node.fetchGenesis":                  "fuzz node.FuzzDoors",
	"node.Node.offering":                      "own disk, checksummed",
	"node.Node.onFetch":                       "fuzz node.FuzzDoors",
	"node.Node.onGroup":                       "fuzz node.FuzzDoors",
	"node.Node.onHello":                       "fuzz node.FuzzDoors",
	"node.Node.sayHello":                      "fuzz node.FuzzDoors",
	"node.Node.serve":                         "fuzz node.FuzzDoors",
	"node.Node.serveGenesis":                  "fuzz node.FuzzDoors",
	"node.WriteIdentity":                      "a file of the person who calls",
	"node.adapter.DeadLetters":                "fuzz node.FuzzReplies",
	"node.adapter.DryRun":                     "fuzz node.FuzzReplies",
	"node.adapter.Retry":                      "fuzz node.FuzzReplies",
	"node.adapter.Describe":                   "fuzz node.FuzzReplies",
	"node.adapter.List":                       "fuzz node.FuzzReplies",
	"node.Node.askReplicas":                   "fuzz node.FuzzReplies",
	"node.adapter.Recover":                    "fuzz node.FuzzReplies",
	"node.admission.take":                     "fuzz node.FuzzDoors",
	"node.adapter.Offer":                      "own disk, checksummed",
	"node.adapter.Workers":                    "fuzz node.FuzzReplies",
	"node.adapter.ChainStatus":                "fuzz node.FuzzReplies",
	"node.adapter.LedgerEntries":              "fuzz node.FuzzReplies",
	"node.readFounder":                        "fuzz node.FuzzProof",
	"node.decodeAdvert":                       "fuzz node.FuzzDoors",
	"node.decodeEvent":                        "fuzz node.FuzzReplies",
	"node.gossip.heardOffers":                 "fuzz node.FuzzDoors",
	"node.gossip.judgeOffers":                 "fuzz node.FuzzDoors",
	"node.gossip.judgeReports":                "fuzz node.FuzzDoors",
	"node.gossip.run":                         "fuzz node.FuzzDoors",
	"node.links.call":                         "fuzz node.FuzzReplies",
	"node.links.onRaft":                       "fuzz node.FuzzDoors",
	"node.links.onWork":                       "fuzz node.FuzzDoors",
	"node.newNetwork":                         "fuzz node.FuzzDoors",
	"node/api.Time.UnmarshalJSON":             "fuzz node.FuzzReplies",
	"node/api/client.Client.Logs":             "what the caller's own node says",
	"node/api/client.answer":                  "what the caller's own node says",
	"node/api/client.deliver":                 "what the caller's own node says",
	"node/api/client.refusal":                 "what the caller's own node says",
	"node/api/client.sse.refusal":             "what the caller's own node says",
	"node/config.readFile":                    "a file of the person who calls",
	"node/executor/wasm.frameReader.nextJSON": "the daemon's word to its own child",
	"node/executor/wasm.receiver.take":        "fuzz node/executor/wasm.FuzzFrames",
	"node/jobspec.parseJSON":                  "fuzz node/jobspec.FuzzParse",
	"node/store.Batch.PutSnapshot":            "this replica's own snapshot",
	"node/store.Batch.covers":                 "own disk, checksummed",
	"node/store.Store.Peers":                  "own disk, checksummed",
	"node/store.Store.loadChunks":             "own disk, checksummed",
	"node/store.Store.snapshotIndex":          "own disk, checksummed",
	"node/store.Store.checkMeets":             "own disk, checksummed",
	"p2p.LoadOrCreateIdentity":                "own disk; a damaged key is refused by name",
	"scheduler/job.DecodeAnchor":              "fuzz scheduler/job.FuzzDecodeAnchor",
	"scheduler/job.DecodeBatch":               "fuzz scheduler/job.FuzzDecodeBatch",
	"scheduler/job.DecodeCommand":             "fuzz scheduler/job.FuzzDecodeCommand",
	"scheduler/job.DecodeOffer":               "fuzz scheduler/job.FuzzDecodeOffer",
	"scheduler/job.DecodeSpec":                "fuzz scheduler/job.FuzzDecodeSpec",
	"scheduler/job.NewDecoder":                "fuzz scheduler/job.FuzzDecodeState",
	"scheduler/shard.Replica.applyConf":       "fuzz scheduler/shard.FuzzReceived",
	"scheduler/shard.Replica.received":        "fuzz scheduler/shard.FuzzReceived",
	"scheduler/shard.Replica.replay":          "own disk, checksummed",
	"scheduler/shard.memberOf":                "fuzz scheduler/shard.FuzzReceived",
	"scheduler/shard.readManifest":            "fuzz scheduler/shard.FuzzReceived",
	"scheduler/shard.Replica.restore":         "own disk, checksummed",
	"scheduler/work.Decode":                   "fuzz scheduler/work.FuzzDecode",
}

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
			case folder == "scheduler/sim": // it reads what it has written itself
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
