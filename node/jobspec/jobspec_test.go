package jobspec

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
)

const moduleCID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"

const fullYAML = `# everything
name: hello
type: AI
executor: wasm
module: hello.wasm
args: [--width, 640, 2.50, true, "0x10", 0x10]
env: {B: "2", A: one}
tasks: 12
gather:
  args: [--join]
  resources: {memory: 1GiB}
inputs:
  - {name: scene, path: data/scene.bin}
  - path: data/other.obj
  - {name: model, cid: ` + standIn + `, size: 77}
  - name: words
    text: |
      one
      two
resources: {cpu: 500m, memory: 1.5GB, disk: 2MiB, gpu: {count: 1, memory: 8GiB}}
labels: {zone: eu}
constraints: cpu >= 2 and labels["rack"] != ""
timeout: 1h30m
deadline: 6h
retries: 7
retryFailed: true
failFast: false
deterministic: false
priority: high
price: {max: 0.05}
client_address: 0x123
`

func fullSpec() *job.Spec {
	return &job.Spec{
		Name: "hello", Type: "ai-inference", Executor: "wasm", Module: moduleCID, ModuleLen: 10,
		Args: []string{"--width", "640", "2.50", "true", "0x10", "0x10"},
		Env:  []job.Pair{{Key: "A", Value: "one"}, {Key: "B", Value: "2"}}, Tasks: 12,
		Gather: &job.Gather{Args: []string{"--join"}, Need: job.Resources{CPU: 500, Memory: 1 << 30, Disk: 2 << 20, GPUs: 1, GPUMem: 8 << 30}},
		Inputs: []job.Input{
			{Name: "scene", CID: moduleCID, Size: 11}, {Name: "other.obj", CID: moduleCID, Size: 12},
			{Name: "model", CID: standIn, Size: 77}, {Name: "words", CID: moduleCID, Size: 13},
		},
		Need:   job.Resources{CPU: 500, Memory: 1_500_000_000, Disk: 2 << 20, GPUs: 1, GPUMem: 8 << 30},
		Labels: []job.Pair{{Key: "zone", Value: "eu"}}, Constraints: `cpu >= 2 and labels["rack"] != ""`,
		Policy: job.Policy{
			Timeout: 90 * time.Minute, Deadline: 6 * time.Hour, Retries: 7, RetryOn: job.AllClasses, KeepGoing: true,
		},
		Priority: 8, PriceMax: 50_000, Varying: true, Client: "0x123",
	}
}

func mustParse(t *testing.T, text, name string) *Document {
	t.Helper()
	doc, err := Parse([]byte(text), name)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestParseFull(t *testing.T) {
	doc := mustParse(t, fullYAML, "job.yaml")
	if _, err := doc.Spec(); err == nil || !strings.Contains(err.Error(), "hello.wasm is not stored") {
		t.Errorf("Spec before the uploads: %v", err)
	}
	if got := mustParse(t, string(doc.JSON()), "again"); !bytes.Equal(got.JSON(), doc.JSON()) {
		t.Errorf("an unresolved document changed through JSON:\n%s\n%s", doc.JSON(), got.JSON())
	}
	want := []File{
		{Field: "module", Path: "hello.wasm"}, {Field: "inputs[0].path", Path: "data/scene.bin"},
		{Field: "inputs[1].path", Path: "data/other.obj"}, {Field: "inputs[3].text", Text: []byte("one\ntwo\n")},
	}
	files := doc.LocalFiles()
	if !reflect.DeepEqual(files, want) {
		t.Fatalf("LocalFiles:\n%+v, want\n%+v", files, want)
	}
	for i, f := range files {
		if err := doc.SetCID(f.Field, moduleCID, int64(10+i)); err != nil {
			t.Fatal(err)
		}
	}
	spec, err := doc.Spec()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(spec, fullSpec()) {
		t.Errorf("got\n%+v, want\n%+v", spec, fullSpec())
	}
	back, err := mustParse(t, string(FromSpec(spec).JSON()), "x").Spec()
	if err != nil || !reflect.DeepEqual(back, spec) {
		t.Errorf("spec → JSON → spec: %v\n%+v", err, back)
	}
}

func TestDefaults(t *testing.T) {
	for _, text := range []string{"module: " + moduleCID, `{"module": "` + moduleCID + `"}`, "{\n\t\"module\":\t\"" + moduleCID + "\"\n}"} {
		spec, err := mustParse(t, text, "dir/first.yaml").Spec()
		if err != nil {
			t.Fatal(err)
		}
		want := &job.Spec{
			Name: "first", Type: "custom", Executor: "wasm", Module: moduleCID, Tasks: 1, Priority: 5,
			Need: job.Resources{CPU: 1000, Memory: 256 << 20, Disk: 64 << 20}, Policy: job.Policy{Timeout: time.Hour, Retries: 3, RetryOn: job.DefaultRetryOn},
		}
		if !reflect.DeepEqual(spec, want) {
			t.Errorf("got %+v", spec)
		}
	}
	if s, _ := mustParse(t, "{module: a.wasm, type: cv}", "request").Spec(); s != nil {
		t.Error("a spec without a stored module")
	}
	if doc := mustParse(t, "{module: a.wasm, type: cv}", "request"); doc.spec.Name != "computer-vision" {
		t.Errorf("name %q", doc.spec.Name)
	}
}

func TestGatherForms(t *testing.T) {
	doc := mustParse(t, "{module: a.wasm, gather: {}}", "")
	if doc.spec.Gather == nil || doc.spec.Gather.Args != nil || doc.spec.Gather.Need != (job.Resources{}) {
		t.Errorf("gather: %+v", doc.spec.Gather)
	}
}

func TestRefusals(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"typing error", "module: a.wasm\ntasl: 3\n", `j.yaml:2: unknown key "tasl"; did you mean "tasks"?`},
		{"JSON typing error", "{\n \"module\": \"a.wasm\",\n \"clientAdress\": \"x\"}", `j.yaml:3: unknown key "clientAdress"; did you mean "client_address"?`},
		{"constraints", "module: a\nconstraints: cpu >= 2 and memroy > 1", `j.yaml:2: constraints: column 14: unknown field "memroy"; did you mean "memory"?`},
		{"constraints that are no condition", "module: a\nconstraints: cpu + 1", `constraints: column 1: expected bool`},
		{"constraints call", "module: a\nconstraints: foo(cpu) > 1", `unknown function "foo"; known are lower, upper`},
		{"class of failure", "module: a\nretryOn: [failed, traped]", `j.yaml:2: retryOn: "traped" is no class of failure; did you mean "trapped"?`},
		{"no class of failure", "module: a\nretryOn: [x]", `j.yaml:2: retryOn: "x" is no class of failure; there are failed, trapped, capped, timeout`},
		{"other case", "module: a\nretry_failed: true", `j.yaml:2: unknown key "retry_failed"; did you mean "retryFailed"?`},
		{"nested", "module: a\nresources:\n  cpu: 1\n  memroy: 2", `j.yaml:4: unknown key "resources.memroy"; did you mean "resources.memory"?`},
		{"deeper", "module: a\nresources:\n  gpu:\n    cuont: 1", `unknown key "resources.gpu.cuont"; did you mean "resources.gpu.count"?`},
		{"in a list", "module: a\ninputs:\n  - name: x\n    pth: y", `j.yaml:4: unknown key "inputs[0].pth"; did you mean "inputs[0].path"?`},
		{"far away", "module: a\nprice: {quantum: 3}", `unknown key "price.quantum"; known here are max`},
		{"twice", "module: a\nmodule: b", "j.yaml:2: no valid YAML: mapping key \"module\" already defined"},
		{"twice in JSON", `{"module": "a", "module": "b"}`, `the key "module" appears twice`},
		{"no value", "module: a\ntimeout:\nretries: 1", "j.yaml:2: timeout: has no value"},
		{"text for a number", "module: a\ntasks: four", `j.yaml:2: tasks: want a whole number, not the text "four"`},
		{"quoted number", "module: a\ntasks: \"4\"", `tasks: want a whole number, not the text "4"`},
		{"fraction", "module: a\ntasks: 1.5", "tasks: want a whole number, not 1.5"},
		{"list for a number", "module: a\ntasks: [1]", "tasks: want a whole number, not a list"},
		{"too many tasks", "module: a\n\ntasks: 10001", "j.yaml:3: tasks: 10001 is outside 0..10000"},
		{"no tasks", "module: a\ntasks: 0", "j.yaml:2: tasks: 0 is outside 1..10000"},
		{"negative", "module: a\nretries: -1", "retries: want a whole number, not -1"},
		{"yes", "module: a\nfailFast: yes", `failFast: want true or false, not the text "yes"`},
		{"size", "module: a\nresources: {memory: lots}", `resources.memory: "lots" is no size; write bytes, or 256MiB, 1.5GB`},
		{"huge size", "module: a\nresources: {memory: 99999999TiB}", "larger than any machine"},
		{"cpu", "module: a\nresources: {cpu: 2cores}", `resources.cpu: "2cores" is no number of cores`},
		{"no unit", "module: a\ntimeout: 30", `timeout: "30" has no unit; write 30s, 30m or 30h`},
		{"bad duration", "module: a\ntimeout: soon", `timeout: "soon" is no duration`},
		{"long timeout", "module: a\ntimeout: 25h", "j.yaml:2: timeout: 25h0m0s is outside"},
		{"no timeout", "module: a\ntimeout: 0s", "j.yaml:2: timeout: 0s is outside"},
		{"priority", "module: a\npriority: 11", "priority: want 1 to 10, or low, medium, high, critical, not 11"},
		{"priority word", "module: a\npriority: urgent", `not the text "urgent"`},
		{"type", "module: a\ntype: rendr3d", `type: "rendr3d" is unknown; did you mean "render3d"?`},
		{"executor", "module: a\nexecutor: container", `executor: "container" is not available; use wasm`},
		{"verification", "module: a\nverification: {replicas: 3}", "verification: verification is not built yet"},
		{"image", "image: alpine", "container images are not available"},
		{"outputs", "module: a\noutputs: {}", "j.yaml:2: outputs: "},
		{"no module", "name: x", "j.yaml: module: missing; name a .wasm file or its CID"},
		{"empty module", "module: ''", "module: is empty"},
		{"module list", "module: [a]", "module: want text, not a list"},
		{"two sources", "module: a\ninputs: [{name: x, path: a, text: b}]", "inputs[0]: need exactly one of path, cid and text, have 2"},
		{"no source", "module: a\ninputs: [{name: x}]", "inputs[0]: need exactly one of path, cid and text, have 0"},
		{"no name", "module: a\ninputs: [{text: x}]", "inputs[0]: has no name"},
		{"bad cid", "module: a\ninputs: [{name: x, cid: ./a}]", `inputs[0].cid: the text "./a" is no CID; use path`},
		{"way out", "module: a\ninputs: [{name: ../x, path: a}]", `j.yaml:2: inputs: "../x"`},
		{"same name", "module: a\ninputs: [{name: x, path: a}, {name: x, path: b}]", `"x" appears twice`},
		{"gather's folder", "module: a\ngather: {}\ninputs: [{name: tasks, path: a}]", "choose another"},
		{"mesh's env", "module: a\nenv: {CIRO_X: 1}", "j.yaml:2: env: CIRO_X"},
		{"nested env", "module: a\nenv: {X: [1]}", "env.X: want text, not a list"},
		{"args text", "module: a\nargs: --all", `args: want a list, not the text "--all"`},
		{"anchor", "module: &x a\nname: *x", "anchors, aliases, merge keys and tags are not part"},
		{"merge", "module: a\nenv: {<<: {a: b}}", "not part of job documents"},
		{"two documents", "module: a\n---\nmodule: b", "a second document begins here"},
		{"empty", "# nothing\n", "the document is empty"},
		{"list", "- a", "a job document is a mapping of keys to values, not a list"},
		{"broken", "module: [a", "no valid YAML"},
		{"long", "module: a\nname: " + strings.Repeat("x", 129), "j.yaml:2: name: need 1 to 128"},
		{"long argument", "module: a\nargs: [" + strings.Repeat("x", 5000) + "]", "args[0]: 5000 bytes are over 4096"},
		{"long client", "module: a\nclient_address: " + strings.Repeat("x", 5000), "5000"},
		{"price", "module: a\nprice: {max: 0.0000001}", "price.max: \"0.0000001\" is no price"},
		{"deep", "module: a\nenv: " + strings.Repeat("[", 40) + strings.Repeat("]", 40), "deeper than 32 levels"},
		{"very deep", "module: " + strings.Repeat("[", 100_000), "nest too deep"},
		{"deep JSON", `{"module": ` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}", "deeper than 32 levels"},
		{"large", "module: " + strings.Repeat("x", MaxDocument), "are over 1048576"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			doc, err := Parse([]byte(tc.text), "j.yaml")
			if err == nil {
				t.Fatalf("taken: %s", doc.JSON())
			}
			if !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "j.yaml:") {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestSet(t *testing.T) {
	doc := mustParse(t, fullYAML, "job.yaml")
	for _, kv := range [][2]string{
		{"priority", "critical"}, {"tasks", "3"}, {"price.max", "1.5"}, {"client_address", "0xabc"}, {"env.A", "two"}, {"env.C.D", "x: y"},
		{"resources.memory", "1MiB"}, {"resources.gpu.count", "2"}, {"args", "[a, b]"}, {"failFast", "true"}, {"module", "other.wasm"},
	} {
		if err := doc.Set(kv[0], kv[1]); err != nil {
			t.Errorf("%s=%s: %v", kv[0], kv[1], err)
		}
	}
	s := &doc.spec
	if s.Priority != 10 || s.Tasks != 3 || s.PriceMax != 1_500_000 || s.Client != "0xabc" || s.Need.Memory != 1<<20 ||
		s.Need.GPUs != 2 || s.Need.GPUMem != 8<<30 || s.Policy.KeepGoing || doc.module != "other.wasm" {
		t.Errorf("%+v", s)
	}
	if want := []job.Pair{{Key: "A", Value: "two"}, {Key: "B", Value: "2"}, {Key: "C.D", Value: "x: y"}}; !reflect.DeepEqual(s.Env, want) {
		t.Errorf("env %v", s.Env)
	}
	before := string(doc.JSON())
	for _, tc := range [][3]string{
		{"tasks", "0", "set tasks: tasks: 0 is outside"}, {"prioritty", "3", `did you mean "priority"`}, {"resources.memory", "x", "is no size"},
		{"tasks", "", "tasks: want"},
	} {
		if err := doc.Set(tc[0], tc[1]); err == nil || !strings.Contains(err.Error(), tc[2]) {
			t.Errorf("%s=%s: %v", tc[0], tc[1], err)
		}
	}
	if got := string(doc.JSON()); got != before {
		t.Errorf("a refused Set changed the document:\n%s", got)
	}
}

func TestSetCIDRefusals(t *testing.T) {
	doc := mustParse(t, fullYAML, "job.yaml")
	for _, tc := range []struct {
		field, cid string
		size       int64
	}{{"module", "nonsense", 1}, {"module", moduleCID, -1}, {"inputs[2].path", moduleCID, 1}, {"inputs[9].path", moduleCID, 1}, {"name", moduleCID, 1}} {
		if err := doc.SetCID(tc.field, tc.cid, tc.size); err == nil {
			t.Errorf("taken: %+v", tc)
		}
	}
}

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"render3d": "render3d", "RENDER_3D": "render3d", "video_processing": "video", "ai": "ai-inference", "AI-Inference": "ai-inference",
		"cv": "computer-vision", "nlp": "nlp", "audio_processing": "audio", "timeseries": "time-series", "time_series_analysis": "time-series",
		"multimodal_ai": "multimodal", "rl": "reinforcement-learning", "medical_ai": "specialized-ai", "Legal-AI": "specialized-ai",
		"zkproof": "zk-proof", "proof_generation": "zk-proof", "custom": "custom", "": "", "_ai": "ai-inference", "quantum": "",
	} {
		if got, ok := Canonical(in); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", in, got, ok, want)
		}
	}
	for _, typ := range Types() {
		if got, ok := Canonical(typ); !ok || got != typ {
			t.Errorf("%s became %q", typ, got)
		}
	}
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]uint64{
		"0": 0, "4096": 4096, "1kB": 1000, "1KiB": 1024, "256MiB": 256 << 20, "1GB": 1e9, "1.5GiB": 3 << 29, "2 Gi": 2 << 30, "12B": 12, "4.0": 4,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
		if back, err := ParseSize(FormatSize(want)); err != nil || back != want {
			t.Errorf("%d came back as %d, %v", want, back, err)
		}
	}
	for _, text := range []string{"", "-1", "1.5", "1,5GB", "GB", "1XB", "0x10", "1e30", "NaN", "Inf", "1.2345GB", "+1"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is %d bytes", text, got)
		}
	}
	for text, want := range map[string]uint32{"1": 1000, "0.5": 500, ".25": 250, "500m": 500, "1.001": 1001, "5e-1": 500} {
		if got, err := ParseCPU(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"0.5m", "0.0001", "1k", "99999999999", "-1", "m"} {
		if got, err := ParseCPU(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
	for text, want := range map[string]uint64{"0.000001": 1, "1e-06": 1, "2": 2_000_000} {
		if got, err := ParsePrice(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"tasks", "timeout", "type", "client_address"}
	for in, want := range map[string]string{"tsaks": "tasks", "time-out": "timeout", "ClientAddress": "client_address", "zzzzzz": "", "x": ""} {
		got, ok := Nearest(in, known)
		if ok != (want != "") || (ok && got != want) {
			t.Errorf("%s: %q, %v", in, got, ok)
		}
	}
	if d := editDistance("abcd", "acbd"); d != 1 {
		t.Errorf("a swap costs %d", d)
	}
}

// FuzzParse: whatever is parsed survives its own JSON.
func FuzzParse(f *testing.F) {
	f.Add([]byte(fullYAML))
	f.Add([]byte(`{"module": "` + moduleCID + `", "env": {"a": "b"}}`))
	f.Add([]byte("module: a\ninputs: [{name: x, text: \"\"}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := Parse(data, "f.yaml")
		if err != nil {
			return
		}
		again, err := Parse(doc.JSON(), "f.yaml")
		if err != nil {
			t.Fatalf("%v\n%s", err, doc.JSON())
		}
		if !bytes.Equal(again.JSON(), doc.JSON()) {
			t.Fatalf("changed:\n%s\n%s", doc.JSON(), again.JSON())
		}
	})
}

func TestShowSize(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 32 << 20: "32.0 MiB", 17_700 << 20: "17.3 GiB", 1 << 63: "8.0 EiB"} {
		if got := ShowSize(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
