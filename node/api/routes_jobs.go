package api

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// statsPages bounds what GET /jobs/stats reads: 10 pages of MaxListLimit.
const statsPages = 10

type submitInput struct {
	Key     string `header:"Idempotency-Key" maxLength:"128" doc:"The same key and spec are the same job, however often they are sent"`
	RawBody []byte `contentType:"application/json" doc:"The job spec as JSON; local files replaced by their CIDs"`
}

type listInput struct {
	State  string `query:"state" enum:"pending,running,assembling,completed,failed,cancelled" doc:"Only jobs in this state"`
	Type   string `query:"type" maxLength:"64" doc:"Only jobs of this type"`
	Text   string `query:"text" maxLength:"64" doc:"Only jobs with this in their name or type, in any case, or with an id that begins so"`
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000" doc:"Page size"`
	Cursor string `query:"cursor" maxLength:"1024" doc:"next of the page before"`
}

type jobInput struct {
	ID    string `path:"id" minLength:"4" maxLength:"64" doc:"Job id or a unique prefix of it"`
	Stale bool   `query:"stale" doc:"Accept the last known state, marked stale, when the shard does not answer"`
}

type cancelInput struct {
	ID     string `path:"id" minLength:"4" maxLength:"64" doc:"Job id or a unique prefix of it"`
	Reason string `query:"reason" maxLength:"1024" doc:"Why, for the record"`
}

// jobRoutes registers what can be done with jobs, except for streams.
func (s *Server) jobRoutes(desk huma.API) {
	submit := op("submit-job", http.MethodPost, "/jobs", "Submit a job; the answer is a signed acceptance")
	submit.MaxBodyBytes, submit.SkipValidateBody = MaxSpec, true
	call(s, desk, submit, s.submit)
	desk.OpenAPI().Paths["/jobs"].Post.RequestBody = &huma.RequestBody{Required: true,
		Description: "The job spec as JSON; local files replaced by their CIDs",
		Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Type: huma.TypeObject}}}}
	call(s, desk, op("list-jobs", http.MethodGet, "/jobs", "List jobs of all shards, by page"), s.list)
	call(s, desk, op("job-stats", http.MethodGet, "/jobs/stats", "Count jobs by state and type"), s.stats)
	call(s, desk, op("describe-job", http.MethodGet, "/jobs/{id}", "Describe one job with its tasks"), s.job)
	call(s, desk, op("job-status", http.MethodGet, "/jobs/{id}/status", "One job in short"), s.jobStatus)
	cancel := op("cancel-job", http.MethodDelete, "/jobs/{id}", "Cancel a job")
	cancel.DefaultStatus = http.StatusNoContent
	huma.Register(desk, withProblems(cancel), func(ctx context.Context, in *cancelInput) (*struct{}, error) {
		if err := s.cfg.Jobs.Cancel(ctx, in.ID, cmp.Or(in.Reason, "cancelled by its client")); err != nil {
			return nil, s.problem("cancel-job", err)
		}
		return nil, nil
	})
}

// submit hands a spec to the mesh.
func (s *Server) submit(ctx context.Context, in *submitInput) (Acceptance, error) {
	if !json.Valid(in.RawBody) {
		return Acceptance{}, Refuse(CodeInvalidSpec, "send the job spec as JSON, or use ciro job submit, which reads YAML too",
			"the body is not JSON")
	}
	// The body's buffer goes back to a pool after this call; the spec may live on.
	return s.cfg.Jobs.Submit(ctx, Submission{Spec: slices.Clone(in.RawBody), IdempotencyKey: in.Key})
}

// list gives one page.
func (s *Server) list(ctx context.Context, in *listInput) (JobList, error) {
	page, err := s.cfg.Jobs.List(ctx, ListQuery{State: in.State, Type: in.Type, Text: in.Text, Limit: in.Limit, Cursor: in.Cursor})
	if page.Jobs == nil {
		page.Jobs = []JobSummary{}
	}
	return page, err
}

// job describes one job.
func (s *Server) job(ctx context.Context, in *jobInput) (Job, error) {
	return s.cfg.Jobs.Describe(ctx, in.ID, in.Stale)
}

// jobStatus describes one job without its tasks.
func (s *Server) jobStatus(ctx context.Context, in *jobInput) (JobSummary, error) {
	job, err := s.cfg.Jobs.Describe(ctx, in.ID, in.Stale)
	return job.JobSummary, err
}

// stats counts jobs page by page, and says so when it stopped before the end.
func (s *Server) stats(ctx context.Context, _ *nothing) (JobStats, error) {
	out := JobStats{ByState: map[string]int{}, ByType: map[string]int{}, AsOf: At(time.Now())}
	unanswered := map[int]bool{}
	query := ListQuery{Limit: MaxListLimit}
	for range statsPages {
		page, err := s.cfg.Jobs.List(ctx, query)
		if err != nil {
			return JobStats{}, err
		}
		for _, job := range page.Jobs {
			out.Total++
			out.ByState[job.State]++
			out.ByType[job.Type]++
		}
		for _, shard := range page.Unanswered {
			unanswered[shard] = true
		}
		if query.Cursor = page.Next; page.Next == "" {
			break
		}
	}
	out.Truncated = query.Cursor != ""
	out.Unanswered = sortedKeys(unanswered)
	return out, nil
}

// sortedKeys lists a map's keys in order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
