package node

import (
	"context"
	"fmt"
	"time"

	"github.com/ciro-network/ciro/node/api"
)

// Shards implements api.Mesh.
func (a *adapter) Shards(ctx context.Context) (api.ShardList, error) {
	out := api.ShardList{AsOf: api.At(time.Now())}
	for _, k := range a.n.dir.all() {
		s := viewShard(&k, time.Since(k.at))
		if k.Leader == "" || time.Since(k.at) > staleAfter {
			if s.Trouble = a.n.majorityLost(k); s.Trouble != "" {
				s.Reasons = []api.Reason{{Code: "majority_lost", Sentence: s.Trouble}}
			}
			out.Unanswered = append(out.Unanswered, int(k.Shard))
		}
		for _, v := range s.Voters {
			if v.Peer == a.n.self {
				s.Local = map[bool]string{true: "learner", false: "follower"}[v.Learner]
			}
		}
		if k.Leader == a.n.self && time.Since(k.at) <= staleAfter {
			s.Local = "leader"
		}
		out.Shards = append(out.Shards, s)
	}
	err := a.n.engine.query(ctx, func(e *engine) {
		for i := range out.Shards {
			if r := e.replicas[uint32(i)]; r != nil {
				out.Shards[i].Applied = r.State().Index
			}
		}
	})
	return out, err
}

// viewShard is what was heard of a shard so long ago, as people see it.
func viewShard(k *known, age time.Duration) api.Shard {
	s := api.Shard{
		ID: int(k.Shard), Leader: k.Leader, Term: k.Term, Target: int(k.Wanted), Live: int(k.Live), Jobs: int(k.Jobs), Local: "none",
		AsOf: api.At(k.at), Voters: []api.Voter{}, Reasons: incomplete(k, age),
	}
	s.Complete = len(s.Reasons) == 0
	for _, v := range k.Voters {
		s.Voters = append(s.Voters, api.Voter{Peer: v})
	}
	for _, v := range k.Learners {
		s.Voters = append(s.Voters, api.Voter{Peer: v, Learner: true})
	}
	for i, behind := range k.Behind {
		if i < len(s.Voters) { // a peer's word: it may be longer
			s.Voters[i].Behind = behind
		}
	}
	return s
}

// incomplete says why a shard has not all that it should have; nothing if it has.
func incomplete(k *known, age time.Duration) []api.Reason {
	switch {
	case k.Leader == "":
		return []api.Reason{{Code: "no_leader", Sentence: "no leader is known: its jobs wait until a majority of its voters has elected one"}}
	case age > staleAfter:
		return []api.Reason{{Code: "unheard", Sentence: fmt.Sprintf("its leader was last heard of %s ago: its jobs wait until it, or another, is heard again", age.Round(time.Second))}}
	case k.Wanted == 0:
		return []api.Reason{{Code: "no_report", Sentence: "its leader is new and has not said yet how many voters there should be"}}
	}
	var out []api.Reason
	if len(k.Voters) < int(k.Wanted) {
		out = append(out, api.Reason{Code: "few_voters", Sentence: fmt.Sprintf("it has %d voters of %d: a coordinator is being taken in, or none is free", len(k.Voters), k.Wanted)})
	}
	if k.Live < min(k.Wanted, uint32(len(k.Voters))) {
		out = append(out, api.Reason{Code: "silent_voters", Sentence: fmt.Sprintf("its leader hears %d voters of %d, itself included", k.Live, len(k.Voters))})
	}
	return out
}
