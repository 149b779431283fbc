package worker

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
)

var rewrite = flag.Bool("rewrite", false, "write what the worker does into the transcripts")

// TestTranscripts plays testdata/*.txt. A line that begins with "> " is what the
// worker did in answer to the line above it, everything else but comments is a
// command:
//
//	worker cpu=N slots=N        a new worker; reports on disk are restored to it
//	at DURATION                 the time from here on
//	tick | handback | drain on | drain off | capability cpu=N slots=N
//	leader SHARD PEER TERM      PEER "-": unknown
//	SHARD PEER book KEY CPU     a message; also assign, release, stop, ack KEY
//	start KEY | progress KEY | end KEY done | end KEY CAUSE
//	status
//
// KEY is job/task#attempt@fence; jobs are offers with the name as their spec's.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			was, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := &player{t: t, names: map[job.ID]string{}, disk: map[work.Key]Restored{}}
			var got strings.Builder
			for line := range strings.Lines(string(was)) {
				if line = strings.TrimRight(line, "\n"); strings.HasPrefix(line, "> ") {
					continue
				}
				fmt.Fprintln(&got, line)
				if line == "" || strings.HasPrefix(line, "#") {
					continue
				}
				for _, answer := range p.play(strings.Fields(line)) {
					fmt.Fprintln(&got, "> "+answer)
				}
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got.String() != string(was) {
				t.Errorf("the worker did otherwise:\n%s", got.String())
			}
		})
	}
}

type player struct {
	t     *testing.T
	now   time.Duration
	boot  uint64
	a     *auditor
	names map[job.ID]string
	disk  map[work.Key]Restored
	order []work.Key
}

func (p *player) play(f []string) []string {
	p.t.Helper()
	switch f[0] {
	case "at":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			p.t.Fatal(err)
		}
		p.now = d
		return nil
	case "worker":
		p.boot++
		var restored []Restored
		for _, k := range p.order {
			if r, ok := p.disk[k]; ok {
				restored = append(restored, r)
			}
		}
		p.a = audit(p.t, Config{Self: "w", Boot: p.boot, Capability: p.capability(f[1:])}, restored)
		return nil
	case "status":
		st := p.a.w.Status()
		out := fmt.Sprintf("free=%d slots=%d booked=%d kept=%d draining=%v wake=%v", st.Free.CPU, st.FreeSlots, st.Booked, st.Kept, st.Draining, p.a.w.Wake())
		return []string{out + p.held(" running", st.Running)}
	}
	var out []string
	for _, act := range p.a.step(p.now, p.event(f)) {
		out = append(out, p.show(act))
	}
	return out
}

func (p *player) event(f []string) Event {
	p.t.Helper()
	switch f[0] {
	case "tick":
		return Tick{}
	case "handback":
		return HandBack{}
	case "drain":
		return Drain{On: f[1] == "on"}
	case "capability":
		return Capability{p.capability(f[1:])}
	case "leader":
		return Leader{Shard: uint32(p.number(f[1])), Peer: strings.TrimPrefix(f[2], "-"), Term: p.number(f[3])}
	case "start":
		return Started{Key: p.key(f[1])}
	case "progress":
		return Progressed{Key: p.key(f[1]), Permille: 500, Text: "half"}
	case "end":
		r := work.Report{Cause: job.ParseCause(f[2])}
		if f[2] == "done" {
			r = work.Report{Result: &job.Result{Output: "cid"}}
		}
		return Finished{Key: p.key(f[1]), Report: r}
	}
	ev := Message{Shard: uint32(p.number(f[0])), From: f[1]}
	k := p.key(f[3])
	switch f[2] {
	case "book":
		ev.Msg = work.Book{Key: k, Need: cores(uint32(p.number(f[4])))}
	case "assign":
		offer, _ := offerOf(p.names[k.Job])
		ev.Msg = work.Assign{Key: k, Term: 1, Offer: offer}
	case "release":
		ev.Msg = work.Release{Key: k}
	case "stop":
		ev.Msg = work.Stop{Key: k, Why: "no longer counts"}
	case "ack":
		ev.Msg = work.Ack{Key: k, Accepted: true}
	default:
		p.t.Fatalf("no command %q", f)
	}
	return ev
}

func (p *player) number(s string) uint64 {
	p.t.Helper()
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

func (p *player) capability(f []string) work.Capability {
	p.t.Helper()
	return capability(uint32(p.number(strings.TrimPrefix(f[0], "cpu="))), uint32(p.number(strings.TrimPrefix(f[1], "slots="))))
}

// key reads job/task#attempt@fence; the fence may be missing.
func (p *player) key(s string) (k work.Key) {
	p.t.Helper()
	name, rest, _ := strings.Cut(s, "/")
	index, rest, _ := strings.Cut(rest, "#")
	attempt, fence, fenced := strings.Cut(rest, "@")
	_, k.Job = offerOf(name)
	p.names[k.Job] = name
	if index == "gather" {
		k.Task = job.GatherIndex
	} else {
		k.Task = int32(p.number(index))
	}
	k.Attempt = uint32(p.number(attempt))
	if fenced {
		k.Fence = p.number(fence)
	}
	return k
}

func (p *player) name(k work.Key) string {
	index := strconv.Itoa(int(k.Task))
	if k.Task == job.GatherIndex {
		index = "gather"
	}
	s := fmt.Sprintf("%s/%s#%d", p.names[k.Job], index, k.Attempt)
	if k.Fence > 0 {
		s += fmt.Sprintf("@%d", k.Fence)
	}
	return s
}

func (p *player) held(title string, ks []work.Key) string {
	var names []string
	for _, k := range ks {
		names = append(names, p.name(k))
	}
	return fmt.Sprintf("%s=%v", title, names)
}

func (p *player) show(act Action) string {
	switch act := act.(type) {
	case Run:
		return fmt.Sprintf("run %s need=%d", p.name(act.Assign.Key), act.Need.CPU)
	case Kill:
		return fmt.Sprintf("kill %s: %s", p.name(act.Key), act.Why)
	case Keep:
		p.disk[act.Report.Key] = Restored(act)
		p.order = append(p.order, act.Report.Key)
		return fmt.Sprintf("keep %s %s", p.name(act.Report.Key), ending(act.Report))
	case Forget:
		delete(p.disk, act.Key)
		return "forget " + p.name(act.Key)
	case Send:
		return fmt.Sprintf("%d -> %s: %s", act.Shard, act.To, p.showMessage(act.Msg))
	}
	return fmt.Sprintf("%T", act)
}

func ending(r work.Report) string {
	if r.Result != nil {
		return "done"
	}
	return r.Cause.String()
}

func (p *player) showMessage(m work.Message) string {
	switch m := m.(type) {
	case work.Attach:
		return fmt.Sprintf("attach boot=%d total=%d free=%d slots=%d draining=%v%s",
			m.Boot, m.Capability.Total.CPU, m.Free.CPU, m.FreeSlots, m.Draining, p.held(" held", m.Held))
	case work.Heartbeat:
		return fmt.Sprintf("heartbeat free=%d slots=%d draining=%v%s", m.Free.CPU, m.FreeSlots, m.Draining, p.held(" held", m.Held))
	case work.Booked:
		return fmt.Sprintf("booked %s free=%d slots=%d", p.name(m.Key), m.Free.CPU, m.FreeSlots)
	case work.Refused:
		return fmt.Sprintf("refused %s free=%d slots=%d: %s", p.name(m.Key), m.Free.CPU, m.FreeSlots, m.Why)
	case work.Started:
		return "started " + p.name(m.Key)
	case work.Progress:
		return fmt.Sprintf("progress %s %d %s", p.name(m.Key), m.Permille, m.Text)
	case work.Report:
		return fmt.Sprintf("report %s %s", p.name(m.Key), ending(m))
	}
	return fmt.Sprintf("%T", m)
}
