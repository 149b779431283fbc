package client_test

import (
	"encoding/json"
	"testing"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/apitest"
)

// TestCare goes through dry runs, dead letters and retries over HTTP.
func TestCare(t *testing.T) {
	b := apitest.New()
	c := connect(t, b, nil)
	ctx := t.Context()
	d, err := c.DryRun(ctx, json.RawMessage(`{"module": "a.wasm"}`))
	if err != nil || d.Ever != 2 || len(d.Waiting.Excluded) != 1 || len(b.Tried()) != 1 || len(b.Submitted()) != 0 {
		t.Errorf("%+v, %v", d, err)
	}
	_, err = c.DryRun(ctx, json.RawMessage(`module: a`))
	wantCode(t, err, api.CodeInvalidSpec)
	job := apitest.Sample(0)
	job.State, job.Round = api.JobFailed, 1
	job.Tasks = []api.Task{{State: api.TaskDead, DeadLetter: true}, {Index: 1, State: api.TaskDead}}
	b.AddJob(job)
	list, err := c.DeadLetters(ctx, 5)
	if err != nil || len(list.Letters) != 1 || list.Letters[0].Job != job.ID || list.Letters[0].Index != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	task := 0
	for i := range 2 {
		r, err := c.Retry(ctx, job.ID[:8], api.RetryQuery{Task: &task, Round: 2})
		if err != nil || r.Round != 2 || r.Created != (i == 0) {
			t.Errorf("%+v, %v", r, err)
		}
	}
	_, err = c.Retry(ctx, job.ID, api.RetryQuery{})
	wantCode(t, err, api.CodeConflict)
}
