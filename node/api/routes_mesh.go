package api

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// healthReply carries the verdict's HTTP status beside it.
type healthReply struct {
	Status int
	Body   Health
}

// meshRoutes registers what the node says about itself and its network.
func (s *Server) meshRoutes(desk huma.API) {
	desk.OpenAPI().Components.Schemas.Schema(typeOf[Problem](), true, "")
	huma.Register(desk, withProblems(op("health", http.MethodGet, "/health", "Is this node healthy? 503 when it is failing")),
		func(ctx context.Context, _ *nothing) (*healthReply, error) {
			health, err := s.cfg.Mesh.Health(ctx)
			if err != nil {
				return nil, s.problem("health", err)
			}
			out := &healthReply{Status: http.StatusOK, Body: health}
			if health.Status == HealthFailing {
				out.Status = http.StatusServiceUnavailable
			}
			return out, nil
		})
	call(s, desk, op("status", http.MethodGet, "/status", "This node"), func(ctx context.Context, _ *nothing) (Status, error) {
		return s.cfg.Mesh.Status(ctx)
	})
	call(s, desk, op("list-workers", http.MethodGet, "/workers", "The workers this node has heard of"),
		func(ctx context.Context, _ *nothing) (WorkerList, error) {
			list, err := s.cfg.Mesh.Workers(ctx)
			if list.Workers == nil {
				list.Workers = []Worker{}
			}
			return list, err
		})
	call(s, desk, op("list-peers", http.MethodGet, "/network/peers", "The nodes this node knows"),
		func(ctx context.Context, _ *nothing) (PeerList, error) {
			peers, err := s.cfg.Mesh.Peers(ctx)
			if peers == nil {
				peers = []Peer{}
			}
			return PeerList{Peers: peers}, err
		})
	call(s, desk, op("list-shards", http.MethodGet, "/network/shards", "Every shard with its leader and voters"),
		func(ctx context.Context, _ *nothing) (ShardList, error) {
			list, err := s.cfg.Mesh.Shards(ctx)
			if list.Shards == nil {
				list.Shards = []Shard{}
			}
			return list, err
		})
	call(s, desk, op("network-health", http.MethodGet, "/network/health", "The verdict on the mesh, always with status 200"),
		func(ctx context.Context, _ *nothing) (Health, error) { return s.cfg.Mesh.Health(ctx) })
}

// typeOf is the reflected type of T.
func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }
