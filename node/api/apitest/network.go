package apitest

import (
	"context"

	"github.com/ciro-network/ciro/node/api"
)

// Recover begins any shard anew with the other node's replica.
func (b *Backend) Recover(_ context.Context, shard int, _ []string, confirm bool) (api.Recovery, error) {
	r := api.Recovery{Shard: shard, From: "12D3Other", Replicas: []api.Replica{{Peer: "12D3Other", Replica: 2, Term: 3, Last: 40, Applied: 38,
		Voters: []string{"12D3Self", "12D3Other", "12D3Third"}}}, MayLose: "what the lost voters alone had is lost"}
	if confirm {
		r.Done, r.Epoch = true, 1
	}
	return r, b.failure()
}

// Admission is a list of one.
func (b *Backend) Admission(context.Context) (api.Admission, error) {
	return api.Admission{Rule: api.AdmissionList, Founder: "12D3Self", Allowed: []string{"12D3Other"}, Sequence: 1}, b.failure()
}

// Allow lists the peer alone, or nobody.
func (b *Backend) Allow(_ context.Context, peer string, allow bool) (api.Admission, error) {
	a := api.Admission{Rule: api.AdmissionList, Founder: "12D3Self", Allowed: []string{}, Sequence: 2}
	if allow {
		a.Allowed = []string{peer}
	}
	return a, b.failure()
}

// Leave leaves two shards.
func (b *Backend) Leave(context.Context) (api.Departure, error) {
	return api.Departure{Left: []int{0, 1}, Kept: []int{}}, b.failure()
}
