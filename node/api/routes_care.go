package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

type dryRunInput struct {
	RawBody []byte `contentType:"application/json" doc:"The job spec as JSON; local files need no CIDs yet"`
}

type retryInput struct {
	ID    string `path:"id" minLength:"4" maxLength:"64" doc:"Job id or a unique prefix of it"`
	Task  int    `query:"task" default:"-2" minimum:"-2" maximum:"9999" doc:"Only this dead task (-1: the gather task); -2 is all"`
	Round int    `query:"round" minimum:"0" maximum:"2147483647" doc:"The round to open, one more than the job's; repeating with it is safe. 0 is the next"`
}

type deadInput struct {
	Limit int `query:"limit" default:"100" minimum:"1" maximum:"1000" doc:"At most so many"`
}

// everyTask is the query's word for all dead tasks.
const everyTask = -2

// careRoutes registers what helps before and after a failure.
func (s *Server) careRoutes(desk huma.API) {
	dry := op("dry-run-job", http.MethodPost, "/jobs/dry-run", "Check a job and say who could run it, without submitting it")
	dry.MaxBodyBytes, dry.SkipValidateBody = MaxSpec, true
	call(s, desk, dry, func(ctx context.Context, in *dryRunInput) (DryRun, error) {
		if !json.Valid(in.RawBody) {
			return DryRun{}, Refuse(CodeInvalidSpec, "send the job spec as JSON, or use ciro job submit --dry-run", "the body is not JSON")
		}
		return s.cfg.Advice.DryRun(ctx, slices.Clone(in.RawBody))
	})
	desk.OpenAPI().Paths["/jobs/dry-run"].Post.RequestBody = desk.OpenAPI().Paths["/jobs"].Post.RequestBody
	call(s, desk, op("retry-job", http.MethodPost, "/jobs/{id}/retry", "Open the next round of a failed job"),
		func(ctx context.Context, in *retryInput) (Round, error) {
			q := RetryQuery{Round: in.Round}
			if in.Task != everyTask {
				q.Task = &in.Task
			}
			return s.cfg.Rounds.Retry(ctx, in.ID, q)
		})
	call(s, desk, op("dead-letters", http.MethodGet, "/jobs/dead-letters", "Tasks that were given up, with every attempt's error"),
		func(ctx context.Context, in *deadInput) (DeadLetterList, error) {
			list, err := s.cfg.Rounds.DeadLetters(ctx, in.Limit)
			if list.Letters == nil {
				list.Letters = []DeadLetter{}
			}
			return list, err
		})
}
