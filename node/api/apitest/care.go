package apitest

import (
	"context"
	"encoding/json"

	"github.com/ciro-network/ciro/node/api"
)

// DryRun says of every spec that one of three workers lacks a label and two are
// full.
func (b *Backend) DryRun(_ context.Context, spec json.RawMessage) (api.DryRun, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return api.DryRun{}, b.fail
	}
	b.tried = append(b.tried, spec)
	return api.DryRun{
		Name: "job", Tasks: 1, Ever: 2, AheadLeast: 1, AheadMost: 5, AsOf: api.At(Epoch), Age: 4,
		Waiting: api.Waiting{Code: "workers_busy", Sentence: "3 workers: 2 have no room for it now, 1 lacks label zone=eu: wait", Workers: 3, Full: 2,
			Excluded: []api.Exclusion{{Reason: "labels", What: "zone=eu", Workers: 1, Alone: 1, Condition: "1 lacks label zone=eu",
				Change: "start a worker with that label, or take it out of labels"}}},
	}, nil
}

// Tried lists the specs of dry runs so far.
func (b *Backend) Tried() []json.RawMessage {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tried
}

// Retry opens the next round of a failed job: it is running again.
func (b *Backend) Retry(_ context.Context, id string, q api.RetryQuery) (api.Round, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	job, err := b.find(id)
	if err != nil {
		return api.Round{}, err
	}
	if q.Round > 0 && q.Round == job.Round {
		return api.Round{Job: job.ID, Round: job.Round}, nil
	}
	if job.State != api.JobFailed {
		return api.Round{}, api.Refuse(api.CodeConflict, "", "only a failed job can be retried; this one is %s", job.State)
	}
	job.State, job.Round, job.Reason = api.JobRunning, job.Round+1, nil
	b.jobs[job.ID] = job
	b.wake()
	return api.Round{Job: job.ID, Round: job.Round, Created: true}, nil
}

// DeadLetters lists the dead tasks of the jobs.
func (b *Backend) DeadLetters(_ context.Context, limit int) (api.DeadLetterList, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := api.DeadLetterList{AsOf: api.At(Epoch)}
	for _, id := range b.order {
		job := b.jobs[id]
		for _, t := range job.Tasks {
			if t.DeadLetter && len(out.Letters) < limit {
				out.Letters = append(out.Letters, api.DeadLetter{Job: job.ID, Name: job.Name, Type: job.Type, JobState: job.State, Round: job.Round, Task: t})
			}
		}
	}
	return out, b.fail
}
