package shard_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
)

var rewrite = flag.Bool("rewrite", false, "write the transcripts in testdata anew")

// TestScripts plays every testdata/*.txt: lines that begin with "> " are
// commands, what stands between them is what the group did. raft draws its
// election jitter from a seeded source, so a transcript is exact.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) { playFile(t, f) })
	}
}

func playFile(t *testing.T, file string) {
	cryptotest.SetGlobalRandom(t, 1)
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// A scripted worker tells of a place that is free with its next heartbeat, so
	// it would be asked for turns all the time; TestLateLeaderGetsItsTurn shows those.
	b := newBus(t, shard.Params{MoveAfter: 5 * time.Second, Turn: time.Hour})
	var got strings.Builder
	for line := range strings.Lines(string(want)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "#"):
			fmt.Fprintln(&got, line)
		case strings.HasPrefix(line, "> "):
			fmt.Fprintln(&got, line)
			b.command(strings.Fields(line[2:]))
			got.WriteString(b.log.String())
			b.log.Reset()
		}
	}
	b.agree()
	if *rewrite {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got.String() != string(want) {
		t.Errorf("the transcript differs (go test -rewrite shows it in the diff):\n%s", difference(string(want), got.String()))
	}
}

func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range g {
		if i >= len(w) || w[i] != g[i] {
			return fmt.Sprintf("line %d\nwant %s\ngot  %s", i+1, strings.Join(w[min(i, len(w)):min(i+5, len(w))], "\n     "), strings.Join(g[i:min(i+5, len(g))], "\n     "))
		}
	}
	return "lines are missing at the end"
}

// agree checks that replicas at one index have one state.
func (b *bus) agree() {
	states := map[uint64]string{}
	for _, n := range b.names {
		x := b.boxes[n]
		if x.rep == nil {
			continue
		}
		st := x.rep.State()
		enc := string(st.Encode())
		if old, ok := states[st.Index]; ok && old != enc {
			b.t.Errorf("%s has another state at index %d than a replica before it", n, st.Index)
		}
		states[st.Index] = enc
	}
}

// option reads name=value among args.
func option(args []string, name, def string) string {
	for _, a := range args {
		if v, ok := strings.CutPrefix(a, name+"="); ok {
			return v
		}
	}
	return def
}

func (b *bus) number(args []string, name string) int {
	n, err := strconv.Atoi(option(args, name, "0"))
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

func (b *bus) span(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

func (b *bus) command(f []string) {
	args := f[1:]
	switch f[0] {
	case "params":
		b.params.SnapshotEvery = uint64(b.number(args, "snapshotEvery"))
		b.params.SnapshotChunk = b.number(args, "chunk")
		b.params.Replication = b.number(args, "replication")
		b.params.DriftAfter = b.span(option(args, "driftAfter", "0s"))
		b.params.DeadAfter = b.span(option(args, "deadAfter", "0s"))
		b.params.CutCount, b.params.CutAge = b.number(args, "cutCount"), b.span(option(args, "cutAge", "0s"))
		b.params.Reserve = b.span(option(args, "reserve", "0s"))
		b.params.MaxTasks = b.number(args, "maxTasks")
		b.params.Client = shard.Limits{Jobs: b.number(args, "clientJobs"), Tasks: b.number(args, "clientTasks"), Rate: float64(b.number(args, "clientRate"))}
	case "found":
		x := b.add(args[0])
		x.id, x.incarnation = 1, 7
		x.disk.write(shard.Found(args[0], 7))
		b.start(x)
	case "nodes":
		for _, n := range args {
			b.add(n)
		}
	case "candidates":
		b.dir = shard.Directory{Preferred: option(args, "preferred", "")}
		if l := option(args, "leaving", ""); l != "" {
			b.dir.Leaving = strings.Split(l, ",")
		}
		b.skewed = strings.Split(option(args, "skewed", ""), ",")
		b.dir.Candidates = slices.DeleteFunc(slices.Clone(args), func(a string) bool { return strings.Contains(a, "=") })
	case "run":
		b.run(b.span(args[0]))
	case "isolate", "heal":
		b.faults(f[0], args)
	case "recover":
		b.recover(b.boxes[args[0]], strings.Split(option(args, "lost", ""), ","))
	case "crash", "restart", "wipe", "handover", "copy", "restore":
		b.power(f[0], b.boxes[args[0]])
	case "anchor":
		b.anchor(args)
	case "worker", "silence", "speak":
		b.hire(f[0], args)
	default:
		b.client(f[0], args)
	}
}

func (b *bus) faults(verb string, args []string) {
	b.cut = map[string]bool{}
	if verb == "heal" {
		return
	}
	for _, n := range slices.Concat(b.names, b.crew) {
		if !slices.Contains(args, n) {
			for _, a := range args {
				b.cut[n+" "+a], b.cut[a+" "+n] = true, true
			}
		}
	}
}

func (b *bus) power(verb string, x *box) {
	switch verb {
	case "crash":
		x.down, x.rep = true, nil
	case "wipe":
		x.down, x.rep, x.disk, x.incarnation, x.id = false, nil, disk{}, 0, 0
	case "copy":
		x.copied = x.disk.clone()
	case "restore":
		x.disk = x.copied.clone()
	case "restart":
		x.down = false
		b.start(x)
	case "handover":
		b.step(x, shard.HandOver{})
	}
}

// recover begins the group anew with one box, as its owner does.
func (b *bus) recover(x *box, lost []string) {
	rec, err := x.rep.Recover(lost, 77)
	if err != nil {
		b.printf("%s does not recover: %v", x.peer, err)
		return
	}
	b.printf("%s begins anew as replica %d; replicas up to %d are no more", x.peer, rec.ID, rec.Floor)
	x.tomb, x.id, x.incarnation, x.disk = max(x.tomb, rec.Floor), rec.ID, 77, disk{}
	x.disk.write(rec.Image)
	b.start(x)
}

func (b *bus) hire(verb string, args []string) {
	if verb != "worker" {
		b.workers[args[0]].silent = verb == "silence"
		return
	}
	b.workers[args[0]] = &hand{
		peer: args[0], slots: uint32(max(1, b.number(args, "slots"))), runs: b.span(option(args, "runs", "100ms")), fails: b.number(args, "fails"),
		needs: map[work.Key]job.Resources{}, reports: map[work.Key]work.Report{},
	}
	if !slices.Contains(b.crew, args[0]) {
		b.crew = append(b.crew, args[0])
		slices.Sort(b.crew)
	}
}

// offer makes a job's offer; the same name and options are the same job.
func (b *bus) offer(name string, args []string) *job.Offer {
	spec := &job.Spec{
		Name: name, Type: "custom", Executor: "wasm", Module: "module", Tasks: uint32(max(1, b.number(args, "tasks"))), Priority: uint8(b.number(args, "priority")),
		Need:   job.Resources{CPU: uint32(max(1, b.number(args, "cpu"))) * 1000, Memory: 1 << 30, Disk: 1 << 30},
		Policy: job.Policy{Timeout: b.span(option(args, "timeout", "1m")), Retries: uint32(b.number(args, "retries")), RetryOn: job.AllClasses},
	}
	if option(args, "priority", "") == "" {
		spec.Priority = 5
	}
	if b.number(args, "gather") > 0 {
		spec.Gather = &job.Gather{}
	}
	o := &job.Offer{
		Network: network, ClientKey: make([]byte, 32), NotAfter: wall + time.Hour.Milliseconds(), Spec: spec.Encode(), Signature: make([]byte, 64),
	}
	copy(o.Nonce[:], name)
	copy(o.ClientKey, option(args, "client", ""))
	b.jobs[name], b.titles[o.ID()], b.takes[o.ID()] = o.ID(), name, b.span(option(args, "runs", "0s"))
	return o
}

func (b *bus) client(verb string, args []string) {
	x := b.boxes[option(args, "at", "")]
	if x == nil {
		x = b.leader()
	}
	if x == nil {
		b.printf("nobody leads")
		return
	}
	b.token++
	switch verb {
	case "submit":
		b.tokens[b.token] = "the submission of " + args[0]
		b.step(x, shard.Submit{Token: b.token, Offer: b.offer(args[0], args).Encode(), Holders: []string{x.peer}})
	case "cancel":
		b.tokens[b.token] = "the cancellation of " + args[0]
		b.step(x, shard.Cancel{Token: b.token, Job: b.jobs[args[0]], Why: "no longer wanted"})
	case "read":
		b.tokens[b.token] = "a read"
		b.step(x, shard.Read{Token: b.token})
	case "job":
		j := x.rep.State().Jobs[b.jobs[args[0]]]
		code, sentence := x.rep.Explain(j)
		b.printf("%s: %s, %d of %d tasks done; %s %s", args[0], j.State, j.Count(job.Done), j.Spec.Tasks, code, sentence)
	case "health":
		b.printf("%s: %+v", x.peer, x.rep.Health())
	case "workers":
		b.printf("%s: %+v", x.peer, x.rep.Workers())
	default:
		b.t.Fatalf("unknown command %q", verb)
	}
}
