package node

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/jobspec"
	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/match"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// leaderFacts is what the leaders on one node know that bears on a dry run,
// between nodes.
type leaderFacts struct {
	Workers []leaderWorker
	Ahead   map[uint32]int // by shard: waiting tasks that come first
}

// serveDryRun tells what the shards that this node leads know.
func (n *Node) serveDryRun(ctx context.Context, q *meshpb.DryRun) *meshpb.JobReply {
	facts := leaderFacts{Ahead: map[uint32]int{}}
	mine := match.Entry{Priority: uint8(min(q.Priority, 10)), Index: 1 << 62}
	shards := n.led(ctx, func(on uint32, r *shard.Replica) {
		for _, w := range r.Workers() {
			facts.Workers = append(facts.Workers, leaderWorker{Shard: on, WorkerView: w})
		}
		st := r.State()
		ahead := 0
		for _, j := range st.SortedJobs() {
			waited := time.Duration(max(0, st.Time-j.Accepted)) * time.Millisecond
			e := match.Entry{Job: j.ID, Index: j.Index, Priority: j.Spec.Priority, Waiting: waited}
			if !j.State.Terminal() && match.Before(e, mine) {
				ahead += int(j.Count(job.Queued))
			}
		}
		facts.Ahead[on] = ahead
	})
	r := jsonReply(facts)
	r.Shards = shards
	return r
}

// dryRunAge is how old a leader's facts of its workers may be: heartbeats come
// every second and a silent worker is forgotten after its lease.
const dryRunAge = 4 * time.Second

// DryRun implements api.Advice. The job's shard is known only once it is signed,
// so all shards' leaders are asked for the workers attached to them.
func (a *adapter) DryRun(ctx context.Context, raw json.RawMessage) (api.DryRun, error) {
	doc, err := jobspec.Parse(raw, "spec")
	if err != nil {
		return api.DryRun{}, api.Refuse(api.CodeInvalidSpec, "correct the spec", "%v", err)
	}
	spec := doc.Draft()
	if err := a.checkModule(ctx, spec); err != nil {
		return api.DryRun{}, err
	}
	spec.Owner = fmt.Sprintf("%x", a.n.client.Public().(ed25519.PublicKey))
	out := api.DryRun{Name: spec.Name, Tasks: int(spec.Tasks), AsOf: api.At(time.Now()), Age: dryRunAge.Seconds()}
	workers := map[string]*match.Worker{}
	attached := map[uint32][]*match.Worker{}
	ahead := map[uint32]int{}
	table := &match.Constraints{Compile: compile}
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_DryRun{DryRun: &meshpb.DryRun{Priority: uint32(spec.Priority)}}}
	out.Unanswered = a.everyLeader(ctx, answerBy(), req, func(r *meshpb.JobReply) error {
		var f leaderFacts
		if err := json.Unmarshal(r.Json, &f); err != nil {
			return err
		}
		maps.Copy(ahead, f.Ahead)
		for i := range f.Workers {
			w := gatherWorker(workers, &f.Workers[i], table)
			if on := f.Workers[i].Shard; !slices.Contains(attached[on], w) { // its leader may be asked twice
				attached[on] = append(attached[on], w)
			}
		}
		return nil
	})
	all := slices.SortedFunc(maps.Values(workers), func(x, y *match.Worker) int { return cmp.Compare(x.ID, y.ID) })
	e := match.Explain(spec, spec.Need, all)
	out.Now, out.Ever = e.Fit, e.Fit+e.Full
	out.Waiting = viewExplanation(&e, spec, spec.Need)
	if need := spec.GatherNeed(); spec.Gather != nil && need != spec.Need {
		g := match.Explain(spec, need, all)
		v := viewExplanation(&g, spec, need)
		v.Task = api.GatherIndex
		out.Gather = &v
	}
	first := true
	for _, on := range slices.Sorted(maps.Keys(ahead)) {
		if s := match.Explain(spec, spec.Need, attached[on]); s.Fit+s.Full == 0 {
			out.Without = append(out.Without, int(on))
		}
		if first {
			out.AheadLeast = ahead[on]
		}
		out.AheadLeast, out.AheadMost, first = min(out.AheadLeast, ahead[on]), max(out.AheadMost, ahead[on]), false
	}
	return out, nil
}

// gatherWorker merges what several leaders say of a worker: the one that knows of
// the most use is right.
func gatherWorker(all map[string]*match.Worker, l *leaderWorker, table *match.Constraints) *match.Worker {
	w := all[l.Peer]
	if w == nil {
		w = &match.Worker{ID: l.Peer, Free: l.Free, FreeSlots: l.FreeSlots}
		w.Offer(l.Capability, table)
		all[l.Peer] = w
	}
	if l.Free.CPU < w.Free.CPU {
		w.Free = l.Free
	}
	w.FreeSlots, w.Draining = min(w.FreeSlots, l.FreeSlots), w.Draining || l.Draining
	return w
}

// viewExplanation is what a task with that need would wait for.
func viewExplanation(e *match.Explanation, spec *job.Spec, need job.Resources) api.Waiting {
	v := api.Waiting{Code: shard.CodeOf(e), Sentence: e.Sentence(spec, need), Workers: e.Workers, Fit: e.Fit, Full: e.Full + e.Kept}
	if e.Workers == 0 {
		v.Sentence = "no worker is known to the coordinators that answered; start one with: ciro start --join ADDRESS"
	}
	for i := range e.Excluded {
		x := &e.Excluded[i]
		v.Excluded = append(v.Excluded, api.Exclusion{
			Reason: x.Why.String(), What: x.What, Workers: x.Workers, Alone: x.Alone, Condition: x.Condition(spec, need), Change: x.Change(),
		})
	}
	return v
}

// viewWaiting is what a job waits for as people see it.
func viewWaiting(w *shard.Waiting, j *job.Job) *api.Waiting {
	v := viewExplanation(&w.Explanation, j.Spec, j.Need(w.Task))
	v.Code, v.Sentence, v.Task = w.Code, w.Sentence, int(w.Task)
	return &v
}
