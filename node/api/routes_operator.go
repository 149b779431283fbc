package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

type workerInput struct {
	ID string `path:"id" minLength:"4" maxLength:"128" doc:"Peer id, or self for the answering node"`
}

type offerInput struct {
	Body *Offering `doc:"What to change; an empty object changes nothing"`
}

// WorkerStats counts the workers that a node has heard of.
type WorkerStats struct {
	Total   int            `json:"total"`
	ByState map[string]int `json:"byState"`
	Offered Resources      `json:"offered" doc:"Of all that are not offline"`
	Free    Resources      `json:"free"`
	Running int            `json:"running" doc:"Attempts under way"`
	AsOf    Time           `json:"asOf,omitzero"`
}

// operatorRoutes registers single workers and what the owner of this node may do.
func (s *Server) operatorRoutes(desk huma.API) {
	call(s, desk, op("get-worker", http.MethodGet, "/workers/{id}", "One worker"), func(ctx context.Context, in *workerInput) (Worker, error) {
		return s.worker(ctx, in.ID)
	})
	call(s, desk, op("worker-stats", http.MethodGet, "/workers/stats", "Workers by state"), s.workerStats)
	call(s, desk, op("offer-worker", http.MethodPost, "/workers", "Change what this node offers to jobs"),
		func(ctx context.Context, in *offerInput) (Worker, error) {
			change := in.Body
			if change == nil {
				change = &Offering{}
			}
			return s.cfg.Operator.Offer(ctx, change)
		})
	call(s, desk, op("reset-worker", http.MethodPost, "/workers/{id}/reset", "Offer what the configuration says again (this node only)"),
		func(ctx context.Context, in *workerInput) (Worker, error) {
			if err := s.mine(ctx, in.ID); err != nil {
				return Worker{}, err
			}
			return s.cfg.Operator.Offer(ctx, nil)
		})
	drain := func(on bool) func(context.Context, *workerInput) (Worker, error) {
		return func(ctx context.Context, in *workerInput) (Worker, error) {
			if err := s.mine(ctx, in.ID); err != nil {
				return Worker{}, err
			}
			return s.cfg.Operator.Drain(ctx, on)
		}
	}
	call(s, desk, op("drain-worker", http.MethodPost, "/workers/{id}/drain", "Take nothing new on this node; what runs goes on"), drain(true))
	call(s, desk, op("resume-worker", http.MethodPost, "/workers/{id}/resume", "Take tasks on this node again"), drain(false))
	call(s, desk, op("leave-worker", http.MethodDelete, "/workers/{id}", "The same as drain: this node alone may be taken out"), drain(true))
	call(s, desk, op("blob-usage", http.MethodGet, "/blobs", "What content takes on this node"),
		func(ctx context.Context, _ *nothing) (BlobUsage, error) { return s.cfg.Operator.Usage(ctx, false) })
	call(s, desk, op("collect-blobs", http.MethodPost, "/blobs/collect", "Remove content that no job needs"),
		func(ctx context.Context, _ *nothing) (BlobUsage, error) { return s.cfg.Operator.Usage(ctx, true) })
}

// worker finds one worker by its id or self.
func (s *Server) worker(ctx context.Context, id string) (Worker, error) {
	list, err := s.cfg.Mesh.Workers(ctx)
	if err != nil {
		return Worker{}, err
	}
	at := slices.IndexFunc(list.Workers, func(w Worker) bool { return w.ID == id || id == "self" && w.Self })
	if at < 0 {
		return Worker{}, Refuse(CodeNotFound, "GET /workers lists those that this node has heard of", "there is no worker %s", id)
	}
	return list.Workers[at], nil
}

// mine refuses to command another node: only its own owner may.
func (s *Server) mine(ctx context.Context, id string) error {
	if id == "self" {
		return nil
	}
	status, err := s.cfg.Mesh.Status(ctx)
	if err != nil {
		return err
	}
	if status.Peer != id {
		return Refuse(CodeForbidden, "ask that node's own API, or use self for this one", "%s is another node", id)
	}
	return nil
}

func (s *Server) workerStats(ctx context.Context, _ *nothing) (WorkerStats, error) {
	list, err := s.cfg.Mesh.Workers(ctx)
	out := WorkerStats{Total: len(list.Workers), ByState: map[string]int{}, AsOf: list.AsOf}
	for _, w := range list.Workers {
		out.ByState[w.State]++
		out.Running += w.Running
		if w.State != WorkerOffline {
			out.Offered, out.Free = out.Offered.add(w.Total), out.Free.add(w.Free)
		}
	}
	return out, err
}

func (r Resources) add(o Resources) Resources {
	return Resources{CPU: r.CPU + o.CPU, Memory: r.Memory + o.Memory, Disk: r.Disk + o.Disk, GPUs: r.GPUs + o.GPUs}
}
