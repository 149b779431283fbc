package sim

import (
	"fmt"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
	"github.com/ciro-network/ciro/scheduler/worker"
)

// maxOverheard bounds the frames that a node remembers to replay them.
const maxOverheard = 64

// frame is something that a node has received.
type frame struct {
	shard uint32
	raft  []byte // a Raft message, or
	work  []byte // one of the work protocol
}

// overhear lets a node remember a frame, the newest ones, if the script will
// want them.
func (n *node) overhear(f frame) {
	if !n.w.hostility {
		return
	}
	if len(n.frames) >= maxOverheard {
		n.frames = n.frames[1:]
	}
	n.frames = append(n.frames, f)
}

// every runs something again and again on the nodes of a fault while it lasts
// and they are up.
func (w *world) every(f Fault, d time.Duration, do func(n *node)) {
	a := &ailment{f: f}
	w.ail(a)
	for _, i := range f.Nodes {
		var again func()
		again = func() {
			if a.over {
				return
			}
			if n := w.nodes[i]; n.up && n.paused <= w.now {
				do(n)
			}
			w.later(w.between(d/2, d*3/2), again)
		}
		w.later(0, again)
	}
}

// startLiar lets workers lie.
func (w *world) startLiar(f Fault) bool {
	for _, i := range f.Nodes {
		w.nodes[i].lying++
	}
	w.every(f, 40*time.Millisecond, (*node).lie)
	w.later(f.For, func() {
		for _, i := range f.Nodes {
			w.nodes[i].lying--
		}
	})
	return true
}

// bend makes a lie of a liar's own report now and then, and tells two different
// ones for one attempt. A wrong result of an attempt that is the liar's own
// counts: results are not verified.
func (n *node) bend(r work.Report) []work.Report {
	w := n.w
	if n.lying == 0 || r.Result == nil || w.chance(0.3) {
		return []work.Report{r}
	}
	w.effect("wrong results")
	wrong := r
	wrong.Result = &job.Result{Output: fmt.Sprintf("wrong %s/%s", n.name, keyText(r.Key)), Holders: r.Result.Holders}
	if w.chance(0.5) {
		return []work.Report{wrong}
	}
	w.effect("double reports")
	failed := work.Report{Key: r.Key, Cause: job.CauseExit, Detail: "it never worked"}
	return []work.Report{wrong, failed, r}
}

// lie says something about an attempt that may be another worker's.
func (n *node) lie() {
	w := n.w
	s := uint32(w.rng.IntN(w.cfg.Shards))
	to := w.leader(s)
	if to == nil {
		return
	}
	k, mine := w.pick(s, n.name)
	if k.Job == (job.ID{}) {
		return
	}
	if !mine {
		w.effect("stolen attempts")
	}
	done := work.Report{Key: k, Result: &job.Result{Output: fmt.Sprintf("stolen by %s", n.name), Holders: []string{n.name}}}
	lies := []work.Message{
		done, work.Report{Key: k, Cause: job.CauseExit, Detail: "stolen"}, work.Started{Key: k}, work.Refused{Key: k, Why: "no"},
		work.Heartbeat{Boot: n.boot, FreeSlots: 1000, Held: []work.Key{k}},
	}
	old := k
	old.Fence, old.Attempt = old.Fence-min(old.Fence, 3), max(1, old.Attempt-1)
	next := k
	next.Attempt, next.Fence = k.Attempt+1, 0
	lies = append(lies, work.Report{Key: old, Result: done.Result}, work.Booked{Key: next, FreeSlots: 4})
	w.effect("lies")
	w.toLeader(n, worker.Send{Shard: s, To: to.n.name, Msg: lies[w.rng.IntN(len(lies))]})
}

// pick draws an attempt that stands in a shard and says whether it is a worker's.
func (w *world) pick(s uint32, name string) (work.Key, bool) {
	var all []work.Key
	var mine []bool
	for _, j := range w.oracle.shards[s].state.SortedJobs() {
		for i := range j.Tasks {
			if t := &j.Tasks[i]; t.State == job.Assigned || t.State == job.TaskRunning {
				all = append(all, work.Key{Job: j.ID, Task: j.WireIndex(i), Attempt: t.Attempt, Fence: t.Fence})
				mine = append(mine, t.Worker == name)
			}
		}
	}
	if len(all) == 0 {
		return work.Key{}, false
	}
	i := w.rng.IntN(len(all))
	return all[i], mine[i]
}

// startHostile lets nodes replay and flood: some thousand messages per
// second, all under their own name, since connections are authenticated.
func (w *world) startHostile(f Fault) bool {
	w.every(f, 10*time.Millisecond, func(n *node) {
		for range 20 {
			n.harass()
		}
	})
	return true
}

func (n *node) harass() {
	w := n.w
	to := w.nodes[w.rng.IntN(len(w.nodes))]
	s := uint32(w.rng.IntN(w.cfg.Shards))
	switch p := w.rng.Float64(); {
	case p < 0.6 && len(n.frames) > 0:
		w.effect("replayed")
		n.replay(to, n.frames[w.rng.IntN(len(n.frames))])
	case p < 0.9:
		w.effect("garbage")
		data := make([]byte, w.rng.IntN(64))
		for i := range data {
			data[i] = byte(w.rng.Uint32())
		}
		n.replay(to, frame{shard: s, raft: data})
		n.replay(to, frame{shard: s, work: data})
	default:
		w.effect("garbage")
		w.send(KindWork, n, to, 24, func() { w.effect("refused from strangers") }) // what only coordinators may say
	}
}

// replay sends a frame under the node's own name. A shell takes Raft messages
// and a leader's messages to workers from coordinators only, and hostile nodes
// are none; what workers say is for the cores to judge.
func (n *node) replay(to *node, f frame) {
	w := n.w
	w.send(KindWork, n, to, len(f.raft)+len(f.work), func() {
		if f.raft != nil {
			w.effect("refused from strangers")
			return
		}
		m, err := work.Decode(f.work)
		if err != nil {
			return
		}
		if r, ok := m.(work.Report); ok {
			w.oracle.said(n, f.shard, r)
		}
		to.receive(f.shard, shard.Heard{From: n.name, Msg: m})
	})
}
