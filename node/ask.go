package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// leader sends a request to the leader of a shard, following redirects, and
// gives the replies to each. Refusals come back as *api.Refusal; when nobody
// leads by the deadline it is CodeUnavailable with what is known.
func (a *adapter) leader(ctx context.Context, door asked, req *meshpb.JobRequest, each func(*meshpb.JobReply) error) error {
	on, until := door.shard, door.until
	last := "no coordinator is known"
	hint := ""
	silent := map[string]bool{}
	for {
		whom := a.n.dir.whom(on, a.n.self)
		if hint != "" {
			whom = append([]string{hint}, slices.DeleteFunc(whom, func(p string) bool { return p == hint })...)
			hint = ""
		}
		for _, p := range whom {
			again, err := a.askOne(ctx, asked{on, p, until}, req, each)
			if again == nil {
				return err
			}
			last, silent[p] = again.Message, err != nil
			if again.Leader != "" && again.Leader != p {
				hint = again.Leader
				break
			}
			if ctx.Err() != nil || time.Now().After(until) {
				break
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(until) {
			return a.unavailable(on, last, silent)
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// asked is a node that is asked about a shard, or whoever leads it, and until
// when it may take to give a first reply.
type asked struct {
	shard uint32
	peer  string
	until time.Time
}

// askOne asks one node. A reply that only says "not me" or "not now" comes back
// as again; anything else is final. The
// call also ends when another node turns out to lead the shard: a peer that has
// died is noticed by the network much later than by its voters.
func (a *adapter) askOne(ctx context.Context, who asked, req *meshpb.JobRequest, each func(*meshpb.JobReply) error) (again *meshpb.JobReply, err error) {
	on, to := who.shard, who.peer
	dialled, cancel := context.WithCancel(ctx)
	defer cancel()
	go a.n.dir.whenDeposed(dialled, on, to, cancel)
	timer := time.AfterFunc(max(time.Until(who.until), 50*time.Millisecond), cancel)
	defer timer.Stop()
	var inner error
	err = a.n.links.call(dialled, to, req, func(r *meshpb.JobReply) error {
		timer.Stop()
		if r.Code == codeWorking {
			timer.Reset(answerTimeout)
			return nil
		}
		if r.Code == shard.ReasonNotLeader || r.Code == shard.ReasonUnavailable {
			again = r
			return nil
		}
		if r.Code != "" {
			inner = refuse(r)
			return inner
		}
		inner = each(r)
		return inner
	})
	switch {
	case inner != nil:
		return nil, inner
	case again != nil:
		return again, nil
	case err != nil:
		return &meshpb.JobReply{Code: shard.ReasonUnavailable, Message: fmt.Sprintf("%s does not answer", short(to))}, err
	}
	return nil, nil
}

// refuse turns a refusal of another node into one of the API.
func refuse(r *meshpb.JobReply) *api.Refusal {
	switch r.Code {
	case job.ReasonInvalid:
		return api.Refuse(api.CodeInvalidSpec, "correct the job and submit it again", "%s", r.Message)
	case job.ReasonExpired:
		return api.Refuse(api.CodeExpired, "submit the job again", "%s", r.Message)
	case job.ReasonUnknown:
		return api.Refuse(api.CodeUnknownJob, "ciro job list shows the known ones", "%s", r.Message)
	case job.ReasonEnded, job.ReasonNotFailed, job.ReasonNotDead, job.ReasonStale:
		return api.Refuse(api.CodeConflict, "ciro job describe JOB shows its state", "%s", r.Message)
	case job.ReasonBusy, shard.ReasonClientRate:
		out := api.Refuse(r.Code, "try again in a moment", "%s", r.Message)
		out.RetryAfter = time.Second
		return out
	case shard.ReasonClientLimit:
		out := api.Refuse(r.Code, "wait until some of them have ended, or cancel some", "%s", r.Message)
		out.RetryAfter = 5 * time.Second
		return out
	}
	if r.Code == reasonInputs {
		return api.Refuse(r.Code, "see that a connected node has them, then submit the same job again", "%s", r.Message)
	}
	return api.Refuse(r.Code, "", "%s", r.Message)
}

// rememberedTimeout is what is left of a request's time to ask others for what
// they remember.
const rememberedTimeout = 500 * time.Millisecond

// remembered is what this node remembers of a job, or else the first of the
// shard's voters that answers; nil if nobody does.
func (a *adapter) remembered(ctx context.Context, until time.Time, id job.ID) *meshpb.JobReply {
	ask := &meshpb.Describe{Job: id[:], Stale: true}
	if r := a.n.serveDescribe(ctx, ask); r.Code == "" {
		return r
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	voters := a.n.dir.shard(id.Shard(a.n.net.gen.Shards)).Voters
	replies := make(chan *meshpb.JobReply, len(voters))
	for _, v := range voters {
		go func() {
			r, err := a.n.links.one(ctx, v, &meshpb.JobRequest{What: &meshpb.JobRequest_Describe{Describe: ask}})
			if err != nil || r.Code != "" {
				r = nil
			}
			replies <- r
		}()
	}
	for range voters {
		if r := <-replies; r != nil {
			return r
		}
	}
	return nil
}

// unavailable says that a shard has no reachable leader, with what is known.
// silent are the nodes that did not answer: a connection outlives a lost network
// by half a minute.
func (a *adapter) unavailable(on uint32, last string, silent map[string]bool) *api.Refusal {
	k := a.n.dir.shard(on)
	voters := make([]string, 0, len(k.Voters))
	connected := a.n.dir.members(true)
	for _, v := range k.Voters {
		state := "not connected"
		p, err := peer.Decode(v)
		switch {
		case v == a.n.self:
			state = "this node"
		case silent[v]:
			state = "does not answer"
		case err == nil && connected[p].connected:
			state = "connected"
		}
		voters = append(voters, short(v)+" "+state)
	}
	ago := "never heard of"
	if !k.at.IsZero() {
		ago = "last heard of " + time.Since(k.at).Round(100*time.Millisecond).String() + " ago"
		if k.Leader != "" {
			ago = short(k.Leader) + " " + ago
		}
	}
	r := api.Refuse(api.CodeUnavailable, "the outcome is unknown: repeat the same request, it is idempotent",
		"shard %d has no reachable coordinator (%s); leader %s, voters [%s]; %s", on, last, ago, strings.Join(voters, ", "), "a majority must be reachable")
	if text := a.n.majorityLost(k); text != "" {
		r.Next += "; " + text
	}
	r.RetryAfter = time.Second
	return r
}

// everyLeader asks the leaders of all shards in parallel and returns the shards
// for which none answered. each is called from one goroutine at a time; it may
// see a leader's reply twice.
func (a *adapter) everyLeader(ctx context.Context, until time.Time, req *meshpb.JobRequest, each func(*meshpb.JobReply) error) []int {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	answered := map[uint32]bool{}
	var mu sync.Mutex
	for first := true; ; first = false {
		leaders, strange := map[string]bool{}, false
		for _, k := range a.n.dir.all() {
			if k.at.IsZero() {
				strange = true // this node has just begun and waits for a neighbour's word
			}
			if k.Leader == "" || answered[k.Shard] {
				continue
			}
			leaders[k.Leader] = true
			for _, v := range k.Voters { // once more for shards whose leader has moved
				leaders[v] = leaders[v] || !first
			}
		}
		var wg sync.WaitGroup
		for p, ask := range leaders {
			if !ask {
				continue
			}
			wg.Go(func() {
				r, err := a.n.links.one(ctx, p, req)
				if err != nil || r.Code != "" {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if each(r) == nil {
					for _, s := range r.Shards {
						answered[s] = true
					}
					if len(answered) == int(a.n.net.gen.Shards) {
						cancel() // whoever has not answered is not needed
					}
				}
			})
		}
		wg.Wait()
		if len(answered) == int(a.n.net.gen.Shards) || ctx.Err() != nil || !first && !strange {
			break
		}
		pause(ctx, 100*time.Millisecond)
	}
	var missing []int
	for id := range a.n.net.gen.Shards {
		if !answered[id] {
			missing = append(missing, int(id))
		}
	}
	return missing
}
