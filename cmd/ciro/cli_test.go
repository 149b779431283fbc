package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/apitest"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// asProgram is the variable with which the process tests start this test binary
// as the program itself.
const asProgram = "TEST_RUNS_AS_PROGRAM"

func TestMain(m *testing.M) {
	// A sandbox has no environment: its argument alone tells it.
	if len(os.Args) > 1 && (os.Args[1] == sandboxCommand || os.Getenv(asProgram) != "" && !strings.HasPrefix(os.Args[1], "-test.")) {
		main()
	}
	goleak.VerifyTestMain(m)
}

// world is a node's interface without a node, and a console before it.
type world struct {
	*apitest.Backend
	addr    string
	dir     string // scratch, also the data directory
	stdin   string
	live    bool
	started *startOptions
}

// moduleHead is how a module begins.
const moduleHead = "\x00asm\x01\x00\x00\x00"

// newWorld serves a backend with a running and a completed job.
func newWorld(t *testing.T) *world {
	t.Helper()
	for _, name := range []string{"CIRO_API", "CIRO_API_TOKEN", "CIRO_DATA", "CIRO_PROFILE", "COLUMNS"} {
		t.Setenv(name, "")
	}
	w := &world{Backend: apitest.New(), dir: t.TempDir()}
	w.AddJob(apitest.Sample(0))
	finished := apitest.Sample(1)
	finished.State, finished.WaitingFor, finished.Ended = api.JobCompleted, nil, api.At(apitest.Epoch.Add(95e9))
	finished.Counts, finished.Tasks = api.TaskCounts{Total: 1, Done: 1}, finished.Tasks[:1]
	finished.Result = w.AddFiles(map[string][]byte{"image.png": bytes.Repeat([]byte("p"), 5000), "log/a.txt": []byte("hello\n")})
	finished.Gather = nil
	w.AddJob(finished)
	w.SetLog(apitest.JobID(0), 1, "stdout", []byte("row 1\nrow 2\n"))
	s, err := api.New(w.Config())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	w.addr = strings.TrimPrefix(server.URL, "http://")
	w.write(t, "api.addr", w.addr+"\n")
	return w
}

// write puts a file into the world's folder.
func (w *world) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// result is what a command line did.
type result struct {
	code     int
	out, err string
}

// ciro runs a command line, DIR standing for the world's folder. The data
// directory is that folder unless the line says otherwise.
func (w *world) ciro(t *testing.T, line ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	c := &console{in: strings.NewReader(w.stdin), out: &out, err: &errs, live: w.live,
		templates: func(kind string) (template, bool) {
			return template{spec: []byte("type: " + kind + "\nmodule: m.wasm\ntasks: 12\n"),
				open: func(name string) ([]byte, error) { return []byte("module " + name), nil }}, kind == "render3d"
		},
		example: func(profile string) (string, error) { return "# configuration for " + profile + "\n", nil },
		serve: func(_ context.Context, o startOptions) error {
			w.started = &o
			return nil
		},
	}
	args := []string{"ciro", "--data-dir", w.dir}
	for _, arg := range line {
		args = append(args, strings.ReplaceAll(arg, "DIR", w.dir))
	}
	code := c.run(t.Context(), args)
	mask := strings.NewReplacer(w.dir, "DIR", w.addr, "NODE")
	return result{code, mask.Replace(out.String()), mask.Replace(errs.String())}
}

// TestGolden replays testdata/*.txt: every line that begins with "$ ciro " is
// run, and what it writes and returns must be what follows it.
func TestGolden(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		t.Run(filepath.Base(script), func(t *testing.T) {
			w := newWorld(t)
			w.write(t, "job.yaml", "name: mine\nmodule: mine.wasm\ninputs:\n  - {name: words, text: hello}\n")
			w.write(t, "mine.wasm", moduleHead)
			want, err := os.ReadFile(script)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for line := range strings.Lines(string(want)) {
				command, ok := strings.CutPrefix(line, "$ ciro")
				if !ok {
					continue
				}
				r := w.ciro(t, strings.Fields(command)...)
				fmt.Fprintf(&got, "%s%s", line, r.out)
				for text := range strings.Lines(r.err) {
					got.WriteString("! " + text)
				}
				fmt.Fprintf(&got, "= %d\n\n", r.code)
			}
			if *rewrite {
				if err := os.WriteFile(script, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got.String() != string(want) {
				t.Errorf("%s differs; got:\n%s", script, got.String())
			}
		})
	}
}

func TestSubmit(t *testing.T) {
	w := newWorld(t)
	path := w.write(t, "job.yaml", "name: mine\nmodule: mine.wasm\ninputs:\n  - {name: words, text: hello}\n")
	w.write(t, "mine.wasm", moduleHead+"module")
	r := w.ciro(t, "job", "submit", path, "--priority", "high", "--max-cost=0.5", "--client-address", "0x123", "--tasks", "7",
		"--set", "resources.memory=1GiB", "-q")
	if r.code != 0 || r.out != apitest.JobID(2)+"\n" {
		t.Fatalf("%+v", r)
	}
	got := string(w.Submitted()[0].Spec)
	for _, want := range []string{`"priority": 8`, `"client_address": "0x123"`, `"tasks": 7`, `"moduleSize": 14`, `"memory": 1073741824`, `"max": 0.5`} {
		if !strings.Contains(got, want) {
			t.Errorf("the spec lacks %s: %s", want, got)
		}
	}
	if strings.Contains(got, "mine.wasm") || strings.Contains(got, `"hello"`) {
		t.Errorf("the spec still has local content: %s", got)
	}
	w.stdin = "module: " + w.dir + "/mine.wasm"
	if r := w.ciro(t, "submit-job", "-", "-o", "json", "--idempotency-key", "k"); r.code != 0 || !strings.Contains(r.out, `"created": true`) {
		t.Errorf("from standard input: %+v", r)
	}
	if r := w.ciro(t, "submit-job", "-", "--idempotency-key", "k"); r.code != 0 || !strings.Contains(r.out, "accepted before") {
		t.Errorf("again: %+v", r)
	}
	if r := w.ciro(t, "submit-job", "--job-type", "RENDER_3D", "--client-address", "0x123"); r.code != 0 {
		t.Errorf("template: %+v", r)
	}
}

func TestSubmitRefusesWithoutANode(t *testing.T) {
	w := newWorld(t)
	w.write(t, "job.yaml", "module: m.wasm\n")
	big := filepath.Join(w.dir, "m.wasm")
	f, err := os.Create(big)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, tt := range []struct {
		size int64
		want string
	}{{101 << 20, "101.0 MiB"}, {api.MaxBlob + 1, "100.0 MiB"}} {
		if err := f.Truncate(tt.size); err != nil { // sparse: takes no space
			t.Fatal(err)
		}
		r := w.ciro(t, "job", "submit", "DIR/job.yaml", "--api", "127.0.0.1:1")
		if r.code != 1 || !strings.Contains(r.err, tt.want) {
			t.Errorf("%d bytes: %+v", tt.size, r)
		}
	}
	for line, want := range map[string]string{
		"job submit DIR/none.yaml":                     "no such file",
		"job submit":                                   "give a job FILE",
		"job submit a b":                               "one job at a time",
		"job submit DIR/job.yaml --job-type nlp":       "not both",
		"job submit --job-type nlp":                    "no job of type nlp ships",
		"job submit --job-type rendr3d":                `did you mean "render3d"`,
		"job submit --job-type render3d --priority 11": "--priority",
		"job submit --job-type render3d --set tasks":   "KEY=VALUE",
		"job submit --job-type render3d --set tsks=1":  "tasks",
	} {
		r := w.ciro(t, append(strings.Fields(line), "--api", "127.0.0.1:1")...)
		if r.code == 0 || r.code == 4 || !strings.Contains(r.err, want) {
			t.Errorf("ciro %s: %+v, want %q", line, r, want)
		}
	}
}

func TestSubmitRefused(t *testing.T) {
	w := newWorld(t)
	w.write(t, "job.yaml", "module: m.wasm\n")
	w.write(t, "m.wasm", moduleHead)
	w.FailSubmissions(api.Refuse(api.CodeConflict, "", "no"), api.Refuse(api.CodeUnavailable, "", "no leader"))
	if r := w.ciro(t, "job", "submit", "DIR/job.yaml"); r.code != 1 || r.err != "ciro: no\n" {
		t.Errorf("refused: %+v", r)
	}
	if r := w.ciro(t, "job", "submit", "DIR/job.yaml", "-q"); r.code != 0 || r.out == "" || len(w.Submitted()) != 1 {
		t.Errorf("repeated when unavailable: %+v", r)
	}
}

// play adds a job and its life up to the end that it takes once it is watched: a
// task is retried, the gather task joins.
func play(w *world, job api.Job, end string) {
	job.State = api.JobPending
	w.AddJob(job)
	final := job
	final.State = end
	w.EndWhenWatched(final)
	for _, e := range []api.Event{
		{Kind: api.EventAccepted, To: api.JobPending},
		{Kind: api.EventAssigned, Task: 0, Attempt: 1, Worker: "12D3KooWAAAAAAAAaaaaaaaa"},
		{Kind: api.EventStarted, Task: 0, Attempt: 1, Worker: "12D3KooWAAAAAAAAaaaaaaaa"},
		{Kind: api.EventProgress, Task: 0, Attempt: 1, Progress: 0.5},
		{Kind: api.EventRequeued, Task: 0, Attempt: 1, Worker: "12D3KooWAAAAAAAAaaaaaaaa", Cause: "leaseLapsed", Detail: "unheard for 3 s\x1b[2J"},
		{Kind: api.EventAssigned, Task: 0, Attempt: 2, Worker: "other"},
		{Kind: api.EventStarted, Task: 0, Attempt: 2, Worker: "other"},
		{Kind: api.EventDone, Task: 0, Attempt: 2, Worker: "other"},
		{Kind: api.EventAssembling},
		{Kind: api.EventDone, Task: api.GatherIndex, Attempt: 1, Worker: "other"},
	} {
		e.Job = job.ID
		w.Emit(e)
	}
}

func TestWatchLines(t *testing.T) {
	w := newWorld(t)
	job := apitest.Sample(2)
	job.Tasks, job.Counts, job.Result, job.Ended = nil, api.TaskCounts{Total: 1, Queued: 1}, "bafyresult", api.At(apitest.Epoch.Add(10e9))
	play(w, job, api.JobCompleted)
	r := w.ciro(t, "job", "watch", job.ID[:8])
	golden(t, "watch.lines", r.out)
	if r.code != 0 || r.err != "" {
		t.Errorf("%d %s", r.code, r.err)
	}
	job.ID = apitest.JobID(3)
	play(w, job, api.JobCancelled)
	if r := w.ciro(t, "job", "watch", job.ID, "-o", "json"); r.code != 3 || strings.Count(r.out, "\n") != 11 || !strings.Contains(r.out, `"kind":"requeued"`) {
		t.Errorf("JSON lines: %+v", r)
	}
	job.ID = apitest.JobID(4)
	play(w, job, api.JobFailed)
	if r := w.ciro(t, "job", "wait", job.ID); r.code != 1 || !strings.Contains(r.out, "failed") || r.err != "" {
		t.Errorf("wait for a failed job: %+v", r)
	}
}

func TestWatchBar(t *testing.T) {
	w := newWorld(t)
	w.live = true
	job := apitest.Sample(2)
	job.Tasks, job.Counts = nil, api.TaskCounts{Total: 2, Queued: 2}
	play(w, job, api.JobCompleted)
	r := w.ciro(t, "job", "watch", job.ID)
	for _, want := range []string{"\r\x1b[K[", "1/2 tasks, 1 retried", "requeued task 0 attempt 1 on …aaaaaaaa: leaseLapsed (unheard for 3 s [2J)\n", "[############............] "} {
		if !strings.Contains(r.out, want) {
			t.Errorf("the bar lacks %q:\n%q", want, r.out)
		}
	}
	for _, line := range strings.Split(strings.ReplaceAll(r.out, "\r\x1b[K", "\n"), "\n") {
		if strings.HasPrefix(line, "[") && len([]rune(line)) > 99 {
			t.Errorf("a bar of %d columns: %s", len([]rune(line)), line)
		}
	}
}

func TestWatchAfterReset(t *testing.T) {
	w := newWorld(t)
	job := apitest.Sample(2)
	w.AddJob(job)
	w.Emit(api.Event{Job: job.ID, Kind: api.EventReset})
	job.State = api.JobCompleted
	w.EndWhenWatched(job)
	if r := w.ciro(t, "job", "watch", job.ID); r.code != 0 || !strings.Contains(r.out, "completed") {
		t.Errorf("%+v", r)
	}
}

func TestWaitTimesOut(t *testing.T) {
	w := newWorld(t)
	r := w.ciro(t, "job", "wait", apitest.JobID(0), "--timeout", "50ms")
	if r.code != 4 || !strings.Contains(r.err, "not ended after 50ms") {
		t.Errorf("%+v", r)
	}
}

func TestRun(t *testing.T) {
	w := newWorld(t)
	w.write(t, "job.yaml", "module: m.wasm\n")
	w.write(t, "m.wasm", moduleHead)
	done := apitest.Sample(2) // the id that the submission gets
	done.State = api.JobCompleted
	done.Result = w.AddFiles(map[string][]byte{"a/b.txt": []byte("result")})
	w.EndWhenWatched(done)
	r := w.ciro(t, "job", "run", "DIR/job.yaml", "--dest", "DIR/out")
	if r.code != 0 || !strings.HasSuffix(r.out, "DIR/out/a/b.txt\n") {
		t.Fatalf("%+v", r)
	}
	if data, err := os.ReadFile(filepath.Join(w.dir, "out", "a", "b.txt")); err != nil || string(data) != "result" {
		t.Errorf("%q %v", data, err)
	}
}

func TestResultsDownload(t *testing.T) {
	w := newWorld(t)
	r := w.ciro(t, "job", "results", apitest.JobID(1), "--dest", "DIR/out")
	if r.code != 0 || r.out != "DIR/out/image.png\nDIR/out/log/a.txt\n" || !strings.Contains(r.err, "fetched 2 files, 4.9 KiB") {
		t.Errorf("%+v", r)
	}
}

func TestNoNode(t *testing.T) {
	w := newWorld(t)
	for _, args := range [][]string{{"status", "--data-dir", "DIR/elsewhere"}, {"job", "list", "--api", "127.0.0.1:1"}} {
		r := w.ciro(t, args...)
		if r.code != 4 || !strings.Contains(r.err, "ciro start") {
			t.Errorf("%v: %+v", args, r)
		}
	}
	t.Setenv("CIRO_API", w.addr)
	if r := w.ciro(t, "status", "--data-dir", "DIR/elsewhere"); r.code != 0 {
		t.Errorf("CIRO_API: %+v", r)
	}
	w.Fail(api.Refuse(api.CodeUnavailable, "repeat", "no leader"))
	if r := w.ciro(t, "job", "list"); r.code != 4 || r.err != "ciro: no leader; repeat\n" {
		t.Errorf("unavailable: %+v", r)
	}
}

func TestStart(t *testing.T) {
	w := newWorld(t)
	r := w.ciro(t, "start", "--join", "/ip4/1.2.3.4/tcp/1#s", "--roles", "none", "--label", "zone=a", "--label", "gpu=no", "--cpus", "2",
		"--memory", "1GiB", "--shards", "8", "--api", "127.0.0.1:9", "--log-level", "debug")
	if r.code != 0 || w.started == nil {
		t.Fatalf("%+v", r)
	}
	got := fmt.Sprint(w.started.flags)
	want := fmt.Sprintf("map[api.listen:[127.0.0.1:9] data_dir:%s logging.level:debug network.join:/ip4/1.2.3.4/tcp/1#s network.shards:8 "+
		"roles:[] worker.cpus:2 worker.labels:map[gpu:no zone:a] worker.memory:1GiB]", w.dir)
	if got != want || w.started.file != "" {
		t.Errorf("flags %s (file %q), want %s", got, w.started.file, want)
	}
	if r := w.ciro(t, "init"); r.code != 0 {
		t.Fatalf("init: %+v", r)
	}
	if r := w.ciro(t, "init"); r.code != 1 || !strings.Contains(r.err, "--force") {
		t.Errorf("init again: %+v", r)
	}
	if r := w.ciro(t, "start"); r.code != 0 || filepath.Base(w.started.file) != configFile {
		t.Errorf("start after init: %+v, file %q", r, w.started.file)
	}
	if r := w.ciro(t, "start", "--label", "zone"); r.code != 2 {
		t.Errorf("bad label: %+v", r)
	}
	if r := w.ciro(t, "start", "now"); r.code != 2 {
		t.Errorf("argument: %+v", r)
	}
	if r := w.ciro(t, "generate-config", "production", "DIR/p.toml"); r.code != 0 || r.out != "wrote DIR/p.toml\n" {
		t.Errorf("generate-config: %+v", r)
	}
	for level, format := range map[string]string{"loud": "text", "info": "xml"} {
		if _, err := (&console{}).logger(level, format); exitCode(t.Context(), err) != exitUsage {
			t.Errorf("log %s %s: %v", level, format, err)
		}
	}
}

func TestReorder(t *testing.T) {
	app := newConsole().app()
	for in, want := range map[string]string{
		"job get ID --stale":                     "job get --stale ID",
		"job list -o json --limit 3 --api=x":     "-o json --api=x job list --limit 3",
		"job logs --task -1 ID -f":               "job logs --task -1 -f ID",
		"job submit - --tasks 3":                 "job submit --tasks 3 -",
		"job submit -- -odd.yaml":                "job submit -- -odd.yaml",
		"job get job --stale":                    "job get --stale job",
		"job get ID --unknown":                   "job get --unknown ID",
		"--data-dir d job -o yaml list --help":   "--data-dir d -o yaml job list --help",
		"status":                                 "status",
		"start --label a --label b":              "start --label a --label b",
		"generate-config production out --force": "generate-config --force production out",
	} {
		got, err := reorder(app, append([]string{"ciro"}, strings.Fields(in)...))
		if err != nil || strings.Join(got[1:], " ") != want {
			t.Errorf("%s: %v %v, want %s", in, got, err, want)
		}
	}
	if _, err := reorder(app, []string{"ciro", "job", "list", "--limit"}); err == nil {
		t.Error("a flag without its value was taken")
	}
}

// golden compares with, or with -rewrite writes, testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s", path, got)
	}
}
