package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/apitest"
)

// TestCare shows what people see of a dry run, a failed job with its dead
// letters, and its next round.
func TestCare(t *testing.T) {
	w := newWorld(t)
	w.write(t, "job.yaml", "name: mine\nmodule: mine.wasm\n")
	w.write(t, "mine.wasm", moduleHead)
	failed := apitest.Sample(2)
	failed.State, failed.Round, failed.Ended = api.JobFailed, 1, api.At(apitest.Epoch)
	failed.WaitingFor, failed.Gather = nil, nil
	failed.Counts = api.TaskCounts{Total: 2, Dead: 2}
	failed.Reason = &api.Reason{Code: "trap", Sentence: "task 0 is dead: attempt 2: trap: unreachable"}
	failed.Tasks = []api.Task{
		{State: api.TaskDead, Attempt: 2, Failures: 2, DeadLetter: true, Ended: api.At(apitest.Epoch), Errors: []api.AttemptError{
			{Attempt: 1, Worker: "w1", Cause: "timeout", Class: "timeout", Detail: "after 1m", At: api.At(apitest.Epoch)},
			{Attempt: 2, Worker: "w2", Cause: "trap", Class: "trapped", Detail: "unreachable", At: api.At(apitest.Epoch)},
		}},
		{Index: 1, State: api.TaskDead, Ended: api.At(apitest.Epoch)},
	}
	w.AddJob(failed)
	var got strings.Builder
	for _, line := range []string{
		"job submit DIR/job.yaml --dry-run",
		"job describe " + failed.ID[:12],
		"job dead-letters",
		"job retry " + failed.ID[:12] + " --task 0",
		"job retry " + failed.ID[:12] + " --round 2",
		"job retry " + failed.ID[:12],
		"job describe " + failed.ID[:12],
		"job dead-letters --limit 0",
	} {
		r := w.ciro(t, strings.Fields(line)...)
		fmt.Fprintf(&got, "$ ciro %s\n%s", line, r.out)
		for text := range strings.Lines(r.err) {
			got.WriteString("! " + text)
		}
		fmt.Fprintf(&got, "= %d\n\n", r.code)
	}
	if len(w.Submitted()) > 0 || len(w.Tried()) != 1 || !strings.Contains(string(w.Tried()[0]), `"module": "mine.wasm"`) {
		t.Errorf("a dry run submits %d jobs and sends %s", len(w.Submitted()), w.Tried())
	}
	golden(t, "care.lines", got.String())
}
