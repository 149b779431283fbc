package node

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// Retry implements api.Rounds.
func (a *adapter) Retry(ctx context.Context, text string, q api.RetryQuery) (api.Round, error) {
	until := answerBy()
	id, err := a.resolve(ctx, until, text)
	if err != nil {
		return api.Round{}, err
	}
	ask := &meshpb.Retry{Job: id[:], All: q.Task == nil, Round: uint32(q.Round)}
	if q.Task != nil {
		ask.Task = int32(*q.Task)
	}
	var out api.Round
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_Retry{Retry: ask}}
	err = a.leader(ctx, asked{shard: id.Shard(a.n.net.gen.Shards), until: until}, req, func(r *meshpb.JobReply) error { return json.Unmarshal(r.Json, &out) })
	return out, err
}

// serveRetry opens the next round of a failed job. Its module and inputs may have
// been let go meanwhile, so they are fetched and held again first.
func (n *Node) serveRetry(ctx context.Context, q *meshpb.Retry) *meshpb.JobReply {
	id, on, bad := n.target(q.Job)
	if bad != nil {
		return bad
	}
	task := q.Task
	if q.All {
		task = job.AllTasks
	}
	if r := n.readable(ctx, on); r != nil {
		return r
	}
	var spec *job.Spec
	var from []string
	err := n.engine.query(ctx, func(e *engine) {
		if r := e.replicas[on]; r != nil {
			if j := r.State().Jobs[id]; j != nil && j.State == job.Failed {
				spec, from = j.Spec, slices.Clone(j.Holders)
			}
		}
	})
	if err != nil {
		return refusal(shard.ReasonUnavailable, err.Error())
	}
	var holders []string
	if spec != nil { // what is wrong otherwise the core says
		holding, done := n.whileLeading(ctx, on)
		holders, err = n.holdAgain(holding, id, spec, from)
		done()
		if err != nil {
			return refusal(reasonInputs, "module or inputs can no longer be fetched; submit the job again: "+err.Error())
		}
	}
	a, err := n.engine.ask(ctx, on, func(t uint64) shard.Event {
		return shard.Retry{Token: t, Job: id, Task: task, Round: q.Round, Holders: holders}
	})
	if r := unfinished(a, err); r != nil {
		return r
	}
	return jsonReply(api.Round{Job: id.String(), Round: int(a.Round), Created: a.Created})
}

// holdAgain has a job's module and inputs held here and by a second node.
func (n *Node) holdAgain(ctx context.Context, id job.ID, spec *job.Spec, from []string) ([]string, error) {
	cids, until := inputsOf(spec), n.keepUntil(spec)
	if err := n.hold(ctx, until, cids, from); err != nil {
		return nil, err
	}
	holders := []string{n.self}
	if second := n.holdElsewhere(ctx, id, until, cids); second != "" {
		holders = append(holders, second)
	}
	return holders, nil
}

// DeadLetters implements api.Rounds.
func (a *adapter) DeadLetters(ctx context.Context, limit int) (api.DeadLetterList, error) {
	if limit <= 0 || limit > api.MaxListLimit {
		limit = 100
	}
	out := api.DeadLetterList{Letters: []api.DeadLetter{}, AsOf: api.At(time.Now())}
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_DeadLetters{DeadLetters: &meshpb.DeadLetters{Limit: uint32(limit + 1)}}}
	seen := map[int]bool{} // shards: a leader that has just changed may answer twice
	out.Unanswered = a.everyLeader(ctx, answerBy(), req, func(r *meshpb.JobReply) error {
		var part []api.DeadLetter
		if err := json.Unmarshal(r.Json, &part); err != nil {
			return err
		}
		out.Letters = append(out.Letters, slices.DeleteFunc(part, func(d api.DeadLetter) bool { return seen[d.Shard] })...)
		for _, s := range r.Shards {
			seen[int(s)] = true
		}
		return nil
	})
	slices.SortFunc(out.Letters, func(x, y api.DeadLetter) int {
		return cmp.Or(y.Ended.Compare(x.Ended.Time), cmp.Compare(x.Job, y.Job), cmp.Compare(x.Index, y.Index))
	})
	if out.Truncated = len(out.Letters) > limit; out.Truncated {
		out.Letters = out.Letters[:limit]
	}
	return out, nil
}

// serveDeadLetters lists dead letters job by job, the newest jobs first.
func (n *Node) serveDeadLetters(ctx context.Context, q *meshpb.DeadLetters) *meshpb.JobReply {
	limit := min(int(q.Limit), api.MaxListLimit+1)
	list := []api.DeadLetter{}
	shards := n.led(ctx, func(on uint32, r *shard.Replica) {
		count := 0
		for _, j := range slices.Backward(r.State().SortedJobs()) {
			for i := range j.Tasks {
				if !j.Tasks[i].DeadLetter {
					continue
				}
				if count++; count > limit {
					return
				}
				list = append(list, api.DeadLetter{
					Job: j.ID.String(), Name: j.Spec.Name, Type: j.Spec.Type, JobState: j.State.String(), Shard: int(on), Round: int(j.Round),
					Task: n.viewTask(j, i),
				})
			}
		}
	})
	r := jsonReply(list)
	r.Shards = shards
	return r
}
