package apitest

import (
	"context"
	"log/slog"
	"time"

	"github.com/ciro-network/ciro/node/api"
)

// failure is what Fail said.
func (b *Backend) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fail
}

// Status is a coordinator and worker of a small network.
func (b *Backend) Status(context.Context) (api.Status, error) {
	return api.Status{Peer: "12D3Self", Name: "self", Version: "v0.1.0", Network: "n3tw0rk", Title: "home",
		Roles: []string{"worker", "coordinator"}, Addresses: []string{"/ip4/127.0.0.1/tcp/4001/p2p/12D3Self"},
		Started: api.At(Epoch), Uptime: 90, Peers: 4, Shards: 16, Leads: []int{0, 3}, Votes: []int{0, 1, 3},
		Running: 1, Total: api.Resources{CPU: 4, Memory: 8 << 30}, Free: api.Resources{CPU: 3, Memory: 7 << 30},
		JoinHint: "ciro start --join /ip4/127.0.0.1/tcp/4001/p2p/12D3Self"}, b.failure()
}

// Health is good, or failing when Fail was called.
func (b *Backend) Health(context.Context) (api.Health, error) {
	if err := b.failure(); err != nil {
		return api.Health{Status: api.HealthFailing, Checks: []api.Check{{Name: "shards", Detail: err.Error()}}}, nil
	}
	return api.Health{Status: api.HealthOK, FullyReplicated: true, Checks: []api.Check{{Name: "shards", OK: true}}}, nil
}

// Workers are two.
func (b *Backend) Workers(context.Context) (api.WorkerList, error) {
	return api.WorkerList{AsOf: api.At(Epoch), Workers: []api.Worker{
		{ID: "12D3Self", Name: "self", State: api.WorkerBusy, Version: "v0.1.0", Total: api.Resources{CPU: 4, Memory: 8 << 30},
			Free: api.Resources{CPU: 3, Memory: 7 << 30}, Running: 1, Executors: []string{"wasm"}, Seen: api.At(Epoch), Self: true},
		{ID: "12D3Other", Name: "other", State: api.WorkerOnline, Total: api.Resources{CPU: 2, Memory: 4 << 30},
			Free: api.Resources{CPU: 2, Memory: 4 << 30}, Executors: []string{"wasm"}, Labels: map[string]string{"zone": "a"},
			Seen: api.At(Epoch)},
	}}, b.failure()
}

// Peers is one.
func (b *Backend) Peers(context.Context) ([]api.Peer, error) {
	return []api.Peer{{ID: "12D3Other", Name: "other", Roles: []string{"worker"}, Connected: true, Transport: "quic-v1",
		Addresses: []string{"/ip4/127.0.0.1/udp/4002/quic-v1"}, Latency: 0.012, Since: api.At(Epoch)}}, b.failure()
}

// Shards are two, one without a leader.
func (b *Backend) Shards(context.Context) (api.ShardList, error) {
	return api.ShardList{AsOf: api.At(Epoch), Unanswered: []int{1}, Shards: []api.Shard{
		{ID: 0, Leader: "12D3Self", Term: 2, Applied: 40, Voters: []api.Voter{{Peer: "12D3Self"}, {Peer: "12D3Other"}, {Peer: "12D3Third"}},
			Target: 3, Complete: true, Jobs: 1, Queued: 2, Local: "leader", AsOf: api.At(Epoch)},
		{ID: 1, Term: 1, Voters: []api.Voter{{Peer: "12D3Third"}}, Target: 3, Local: "none"},
	}}, b.failure()
}

// Config is a server configuration that serves b on a free loopback port.
func (b *Backend) Config() api.Config {
	return api.Config{Jobs: b, Logs: b, Blobs: b, Mesh: b, Operator: b, Network: b, Advice: b, Rounds: b, Chain: b, Listen: []string{"127.0.0.1:0"},
		Log: slog.New(slog.DiscardHandler), Version: "v0.1.0"}
}

// Sample is a running job with four tasks and a gather task in every kind of
// state, under the id JobID(n).
func Sample(n int) api.Job {
	exit, at := 0, func(s int) api.Time { return api.At(Epoch.Add(time.Duration(s) * time.Second)) }
	return api.Job{
		JobSummary: api.JobSummary{ID: JobID(n), Name: "bunny", Type: "render3d", State: api.JobRunning, Priority: 5, Shard: 3,
			Submitted: at(0), Started: at(1), ClientAddress: "0x123",
			Counts: api.TaskCounts{Total: 4, Queued: 1, Running: 1, Done: 1, Dead: 1}},
		Coordinator: "12D3Coordinator", Term: 2, AsOf: at(10), KeptUntil: at(86400),
		WaitingFor: &api.Waiting{Code: "workers_busy", Sentence: "2 workers: 2 have no room for it now"},
		Tasks: []api.Task{
			{Index: 0, State: api.TaskDone, Attempt: 1, Worker: "12D3Self", Progress: 1, Started: at(1), Ended: at(4), Exit: &exit,
				Output: "bafytile0", Holders: []string{"12D3Self", "12D3Other"}, Stdout: "tile 0\n"},
			{Index: 1, State: api.TaskRunning, Attempt: 2, Worker: "12D3Other", Progress: 0.25, Message: "row 90", Lost: 1, Started: at(5),
				Errors: []api.AttemptError{{Attempt: 1, Worker: "12D3Third", Cause: "leaseLapsed", Detail: "unheard for 3 s", At: at(4)}}},
			{Index: 2, State: api.TaskQueued},
			{Index: 3, State: api.TaskDead, Attempt: 4, Failures: 4,
				Errors: []api.AttemptError{{Attempt: 4, Worker: "12D3Self", Cause: "timeout", At: at(9)}}},
		},
		Gather: &api.Task{Index: api.GatherIndex, State: api.TaskQueued},
		Spec:   []byte(`{"name":"bunny","tasks":4}`), ClientKey: "a2V5",
	}
}
