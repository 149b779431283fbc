package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/executor"
	"github.com/ciro-network/ciro/node/nodetest"
	"github.com/ciro-network/ciro/scheduler/match"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// TestConstraintsDryRunAndRetry keeps jobs to the one worker that meets their
// constraints, asks before submitting, lets a task die and opens another round.
func TestConstraintsDryRunAndRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, 3, nodetest.Options{
			Adjust: func(i int, cfg *config.Config) {
				cfg.Worker.Labels = map[string]string{"zone": []string{"eu", "us", "us"}[i]}
				if i == 2 {
					cfg.Worker.Memory = 1 << 30
				}
			},
			Executor: &nodetest.Executor{Script: func(ctx context.Context, task executor.Task) executor.Outcome {
				if task.Attempt < 3 && len(task.Args) > 0 && task.Args[0] == "flaky" {
					return executor.Outcome{Cause: executor.Exit, Exit: 4}
				}
				return nodetest.Work(ctx, task, time.Second)
			}},
		})
		defer c.Close()
		c.WaitReplicated()
		tryConstraints(t, c)
		tryRetry(t, c)
		tryPages(t, c)
	})
}

// tryPages: every node pages through all jobs, each once, however few fit on a page.
func tryPages(t *testing.T, c *nodetest.Cluster) {
	var want []string
	for i := range 7 {
		want = append(want, c.Submit(i%3, fmt.Sprintf(`{"name":"Page %d","module":"$MODULE","constraints":"os == \"plan9\""}`, i)).Job)
	}
	for i := range 3 {
		var got []string
		q := api.ListQuery{Text: "PAGE", State: api.JobPending, Limit: 2}
		for {
			list, err := c.Node(i).Jobs().List(t.Context(), q)
			if err != nil || len(list.Jobs) > 2 || len(list.Unanswered) > 0 {
				t.Fatalf("%+v, %v", list, err)
			}
			for _, j := range list.Jobs {
				got = append(got, j.ID)
			}
			if q.Cursor = list.Next; list.Next == "" {
				break
			}
		}
		slices.Sort(got) // of several shards, whose clocks agree only nearly
		if sorted := slices.Sorted(slices.Values(want)); !slices.Equal(got, sorted) {
			t.Errorf("node %d lists %v, want %v", i, got, sorted)
		}
	}
	list, err := c.Node(0).Jobs().List(t.Context(), api.ListQuery{Text: want[0][:8]})
	if err != nil || len(list.Jobs) != 1 || list.Jobs[0].ID != want[0] {
		t.Errorf("%+v, %v", list, err)
	}
	shards, err := c.Node(2).Mesh().Shards(t.Context())
	if err != nil || len(shards.Shards) == 0 || !shards.Shards[0].Complete || len(shards.Shards[0].Reasons) > 0 || shards.Shards[0].Live != 3 {
		t.Errorf("%+v, %v", shards, err)
	}
}

func tryConstraints(t *testing.T, c *nodetest.Cluster) {
	d, err := c.Node(2).Advice().DryRun(t.Context(), json.RawMessage(
		`{"module":"local.wasm","resources":{"memory":"2GiB"},"constraints":"labels[\"zone\"] == \"us\" and cpu >= 2"}`))
	if err != nil || d.Ever != 1 || d.Waiting.Workers != 3 || d.Waiting.Code != shard.WaitsTurn || len(d.Unanswered) > 0 || len(d.Without) > 0 {
		t.Errorf("%+v, %v", d, err)
	}
	for _, want := range []string{`labels.zone == "us"`, "memory"} {
		found := false
		for _, x := range d.Waiting.Excluded {
			found = found || x.What == want && x.Workers == 1 && x.Alone == 1
		}
		if !found {
			t.Errorf("no exclusion by %s: %+v", want, d.Waiting.Excluded)
		}
	}
	var refused *api.Refusal
	_, err = c.Node(2).Advice().DryRun(t.Context(), json.RawMessage(`{"module":"a.wasm","constraints":"cpus > 1"}`))
	if !errors.As(err, &refused) || refused.Code != api.CodeInvalidSpec || !strings.Contains(refused.Message, `column 1: unknown field "cpus"; did you mean "cpu"?`) {
		t.Error(err)
	}
	list, err := c.Node(0).Jobs().List(t.Context(), api.ListQuery{})
	if err != nil || len(list.Jobs) != 0 {
		t.Errorf("dry runs left %d jobs, %v", len(list.Jobs), err)
	}
	j := c.Wait(1, c.Submit(0, `{"module":"$MODULE","tasks":4,"constraints":"name == \"n1\""}`).Job)
	for _, task := range j.Tasks {
		if task.Worker != c.Node(1).PeerID().String() {
			t.Errorf("task %d ran on %s, which does not meet the constraints", task.Index, task.Worker)
		}
	}
	id := c.Submit(0, `{"module":"$MODULE","constraints":"os == \"plan9\""}`).Job
	w, err := c.Node(1).Jobs().Describe(t.Context(), id, false)
	if err != nil || w.WaitingFor == nil || w.WaitingFor.Code != shard.WaitsMatch || !strings.Contains(w.WaitingFor.Sentence, `3 do not meet os == "plan9"`) {
		t.Errorf("%+v, %v", w.WaitingFor, err)
	}
}

func tryRetry(t *testing.T, c *nodetest.Cluster) {
	id := c.Submit(0, `{"module":"$MODULE","args":["flaky"],"tasks":2,"retries":1,"retryOn":["failed"],"failFast":false}`).Job
	j := c.Wait(2, id)
	if j.State != api.JobFailed || j.Reason.Code != "exit" || !j.Tasks[0].DeadLetter || len(j.Tasks[0].Errors) != 2 || j.Tasks[0].Errors[0].Class != "failed" {
		t.Fatalf("%+v", j)
	}
	list, err := c.Node(1).Rounds().DeadLetters(t.Context(), 10)
	if err != nil || len(list.Letters) != 2 || list.Letters[0].Job != id {
		t.Errorf("%+v, %v", list, err)
	}
	for i := range 2 {
		r, err := c.Node(2).Rounds().Retry(t.Context(), id, api.RetryQuery{Round: 2})
		if err != nil || r.Round != 2 || r.Created != (i == 0) {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if j = c.Wait(1, id); j.State != api.JobCompleted || j.Round != 2 || j.Tasks[0].Attempt != 3 {
		t.Errorf("after the second round: %s, round %d, attempt %d", j.State, j.Round, j.Tasks[0].Attempt)
	}
	var refused *api.Refusal
	if _, err := c.Node(0).Rounds().Retry(t.Context(), id, api.RetryQuery{}); !errors.As(err, &refused) || refused.Code != api.CodeConflict {
		t.Errorf("a completed job is retried: %v", err)
	}
}

// TestReasonCodesAreDocumented: whoever reads the interface's documentation finds
// every code that a waiting job can give, with its meaning.
func TestReasonCodesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("api/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	text := string(doc)
	for _, c := range shard.WaitCodes() {
		line := "//\t" + c.Code + strings.Repeat(" ", 24-len(c.Code)) + c.Meaning + "\n"
		if !strings.Contains(text, line) {
			t.Errorf("api/doc.go lacks the line\n%s", line)
		}
	}
	openAPI, err := os.ReadFile("api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for why := match.WhyDraining; why < match.WhyBusy; why++ {
		if !strings.Contains(string(openAPI), "- "+why.String()+"\n") || !strings.Contains(text, why.String()) {
			t.Errorf("the reason %s is not documented", why)
		}
	}
}
