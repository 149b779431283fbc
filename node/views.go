package node

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/jobspec"
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
)

// moment turns shard time into a time; 0 is no time.
func moment(ms int64) api.Time {
	if ms == 0 {
		return api.Time{}
	}
	return api.At(time.UnixMilli(ms))
}

func summarise(j *job.Job, on uint32) api.JobSummary {
	s := api.JobSummary{
		ID: j.ID.String(), Name: j.Spec.Name, Type: j.Spec.Type, State: j.State.String(), Round: int(j.Round), Priority: int(j.Spec.Priority), Shard: int(on),
		Submitted: moment(j.Accepted), Started: moment(j.Begun), Ended: moment(j.Ended), ClientAddress: j.Spec.Client,
		Counts: api.TaskCounts{
			Total: int(j.Spec.Tasks), Queued: int(j.Count(job.Queued)), Assigned: int(j.Count(job.Assigned)),
			Running: int(j.Count(job.TaskRunning)), Done: int(j.Count(job.Done)), Dead: int(j.Count(job.Dead)),
		},
	}
	if j.Reason != "" {
		s.Reason = &api.Reason{Code: reasonCode(j), Sentence: j.Reason}
	}
	return s
}

// reasonCode is the stable code of why a job ended: that of the failure that
// decided it.
func reasonCode(j *job.Job) string {
	if j.State == job.Cancelled {
		return "cancelled"
	}
	return j.Cause.String()
}

// viewJob is a job as people see it. It runs on the engine's goroutine.
func (n *Node) viewJob(r *shard.Replica, j *job.Job, on uint32) *api.Job {
	v := &api.Job{
		JobSummary: summarise(j, on), Coordinator: n.self, Term: j.Term, AsOf: api.At(time.Now()),
		Spec: jobspec.FromSpec(j.Spec).JSON(), ClientKey: hex.EncodeToString(j.ClientKey),
	}
	for i := range j.Tasks {
		t := n.viewTask(j, i)
		if t.Index == api.GatherIndex {
			v.Gather = &t
			continue
		}
		v.Tasks = append(v.Tasks, t)
	}
	if j.State.Terminal() {
		v.KeptUntil = moment(j.KeptUntil())
	} else if w := r.Waiting(j); w.Code != "" {
		v.WaitingFor = viewWaiting(&w, j)
	}
	if j.State == job.Completed {
		v.Result = resultOf(j)
	}
	return v
}

// resultOf is the CID of a completed job's result: the gather task's output, or
// that of the only task. Other array jobs have one output per task.
func resultOf(j *job.Job) string {
	t := j.Gather()
	if t == nil && j.Spec.Tasks == 1 {
		t = &j.Tasks[0]
	}
	if t == nil || t.Result == nil {
		return ""
	}
	return t.Result.Output
}

// classOf is the class of a kept error's cause; a lapse may be of two.
func classOf(c job.Cause) string {
	if c == job.CauseLapse {
		return ""
	}
	return c.Class(true).String()
}

func (n *Node) viewTask(j *job.Job, position int) api.Task {
	t := &j.Tasks[position]
	index := j.WireIndex(position)
	v := api.Task{
		Index: int(index), State: t.State.String(), Attempt: int(t.Attempt), Worker: t.Worker, Failures: int(t.Failures), Lost: int(t.Lost),
		DeadLetter: t.DeadLetter,
		Started:    moment(t.Started), Ended: moment(t.Ended),
	}
	if res := t.Result; res != nil {
		exit := int(res.Exit)
		v.Exit, v.Output, v.Holders, v.Stdout, v.Progress = &exit, res.Output, res.Holders, string(res.Inline), 1
		v.StdoutCID, v.StderrCID = res.Stdout, res.Stderr
	}
	key := work.Key{Job: j.ID, Task: index, Attempt: t.Attempt, Fence: t.Fence}
	if p, ok := n.hub.lastProgress(key); ok && t.Result == nil {
		v.Progress, v.Message = float64(p.Permille)/1000, p.Text
	}
	for _, e := range t.Errors {
		v.Errors = append(v.Errors, api.AttemptError{
			Attempt: int(e.Attempt), Worker: e.Worker, Cause: e.Cause.String(), Class: classOf(e.Cause), Detail: e.Detail, At: moment(e.At),
		})
	}
	return v
}

// viewEvent is an event as people see it; false for moves that are not shown.
func viewEvent(e *job.Event, on uint32) (api.Event, bool) {
	if e.Kind == job.EventRunning {
		return api.Event{}, false // follows from the assignment that comes with it
	}
	return api.Event{
		Schema: api.EventSchema, Cursor: fmt.Sprintf("%d:%d:%d", on, e.Index, e.N), Job: e.Job.String(), Kind: e.Kind.String(),
		Task: int(e.Task), Attempt: int(e.Attempt), Worker: e.Worker, Cause: e.Cause.String(), Detail: e.Detail, At: moment(e.At),
	}, true
}

func progressEvent(p work.Progress, worker string) api.Event {
	return api.Event{
		Schema: api.EventSchema, Job: p.Key.Job.String(), Kind: api.EventProgress, Task: int(p.Key.Task), Attempt: int(p.Key.Attempt),
		Worker: worker, Progress: float64(p.Permille) / 1000, Detail: p.Text, At: api.At(time.Now()),
	}
}

// parseCursor reads "shard:index:n"; "" is the beginning.
func parseCursor(s string, on uint32) (at, error) {
	if s == "" {
		return at{}, nil
	}
	parts := strings.Split(s, ":")
	if len(parts) == 3 {
		shardID, e1 := strconv.ParseUint(parts[0], 10, 32)
		index, e2 := strconv.ParseUint(parts[1], 10, 64)
		n, e3 := strconv.ParseUint(parts[2], 10, 32)
		if e1 == nil && e2 == nil && e3 == nil && uint32(shardID) == on {
			return at{index, uint32(n)}, nil
		}
	}
	return at{}, api.Refuse(api.CodeInvalidRequest, "take it from the last event seen", "%q is no cursor of this job", s)
}

func viewResources(r job.Resources) api.Resources {
	return api.Resources{CPU: float64(r.CPU) / 1000, Memory: int64(r.Memory), Disk: int64(r.Disk), GPUs: int(r.GPUs)}
}
