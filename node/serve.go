package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/p2p/blobs"
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// Times of the job protocol.
const (
	acceptTimeout = 60 * time.Second // to fetch an offer's inputs and have it accepted
	holdTimeout   = 60 * time.Second // to fetch one blob
	handOverPause = 50 * time.Millisecond
)

// codeWorking is the code of a reply that only says that another follows.
const codeWorking = "working"

// serve answers a request of another node.
func (n *Node) serve(ctx context.Context, from peer.ID, raw []byte, reply func([]byte) error) error {
	req := &meshpb.JobRequest{}
	if err := proto.Unmarshal(raw, req); err != nil {
		return fmt.Errorf("job request: %w", err)
	}
	return n.answer(ctx, from.String(), req, func(r *meshpb.JobReply) error {
		out, err := proto.Marshal(r)
		if err != nil {
			return err
		}
		return reply(out)
	})
}

// answer answers a request, of another node or of this one.
func (n *Node) answer(ctx context.Context, from string, req *meshpb.JobRequest, each func(*meshpb.JobReply) error) error {
	switch what := req.What.(type) {
	case *meshpb.JobRequest_Submit:
		offer, err := job.DecodeOffer(what.Submit.Offer)
		if err != nil {
			return each(refusal(job.ReasonInvalid, err.Error()))
		}
		id := offer.ID()
		return n.working(ctx, id.Shard(n.net.gen.Shards), each, func(ctx context.Context) *meshpb.JobReply {
			return n.accept(ctx, from, what.Submit)
		})
	case *meshpb.JobRequest_Cancel:
		return each(n.serveCancel(ctx, what.Cancel))
	case *meshpb.JobRequest_Describe:
		return each(n.serveDescribe(ctx, what.Describe))
	case *meshpb.JobRequest_Find:
		return each(n.serveFind(ctx, what.Find))
	case *meshpb.JobRequest_List:
		return each(n.serveList(ctx, what.List))
	case *meshpb.JobRequest_Workers:
		return each(n.serveWorkers(ctx))
	case *meshpb.JobRequest_Retry:
		_, on, bad := n.target(what.Retry.Job)
		if bad != nil {
			return each(bad)
		}
		return n.working(ctx, on, each, func(ctx context.Context) *meshpb.JobReply { return n.serveRetry(ctx, what.Retry) })
	case *meshpb.JobRequest_DeadLetters:
		return each(n.serveDeadLetters(ctx, what.DeadLetters))
	case *meshpb.JobRequest_DryRun:
		return each(n.serveDryRun(ctx, what.DryRun))
	case *meshpb.JobRequest_Hold:
		return each(n.serveHold(ctx, what.Hold))
	case *meshpb.JobRequest_Ledger:
		return each(n.serveLedger(what.Ledger))
	case *meshpb.JobRequest_Entries:
		return each(n.serveEntries(what.Entries))
	case *meshpb.JobRequest_ChainStatus:
		return each(n.serveChainStatus(ctx))
	case *meshpb.JobRequest_Prove:
		return n.serveProve(ctx, what.Prove, each)
	case *meshpb.JobRequest_Recover:
		return each(n.serveRecover(ctx, what.Recover))
	case *meshpb.JobRequest_Watch:
		return n.serveWatch(ctx, what.Watch, each)
	case *meshpb.JobRequest_Logs:
		return n.serveLogs(ctx, what.Logs, each)
	}
	return each(refusal(api.CodeInvalidRequest, "this node does not know the request; it may be older"))
}

func refusal(code, text string) *meshpb.JobReply { return &meshpb.JobReply{Code: code, Message: text} }

// unfinished turns an engine's error or a core's refusal into a reply; nil means
// that all is well.
func unfinished(a shard.Answer, err error) *meshpb.JobReply {
	switch {
	case err != nil:
		return refusal(shard.ReasonUnavailable, "the coordinator could not finish: "+err.Error())
	case a.Reason != "":
		return &meshpb.JobReply{Code: a.Reason, Message: a.Message, Leader: a.Leader}
	}
	return nil
}

// accept brings an offer into its shard's log. Module and inputs are fetched and
// held here, and by a second node, before it is proposed.
func (n *Node) accept(ctx context.Context, from string, s *meshpb.Submit) *meshpb.JobReply {
	offer, err := n.net.checkOffer(s.Offer)
	if err != nil {
		return refusal(job.ReasonInvalid, err.Error())
	}
	id := offer.ID()
	on := id.Shard(n.net.gen.Shards)
	if r := n.leadsReply(ctx, on); r != nil {
		return r
	}
	spec, err := job.DecodeSpec(offer.Spec)
	if err != nil {
		return refusal(job.ReasonInvalid, err.Error())
	}
	if _, err := compile(spec.Constraints); spec.Constraints != "" && err != nil {
		return refusal(job.ReasonInvalid, "constraints: "+err.Error())
	}
	holding, done := n.whileLeading(ctx, on)
	holders, err := n.holdInputs(holding, id, spec, append([]string{from}, s.Holders...))
	done()
	if r := n.leadsReply(ctx, on); r != nil {
		return r
	}
	if errors.Is(err, blobs.ErrRefused) || errors.Is(err, blobs.ErrLimit) {
		return refusal(job.ReasonInvalid, "module or inputs cannot be taken: "+err.Error())
	}
	if errors.Is(err, blobs.ErrFull) {
		return refusal(api.CodeBusy, "the coordinator cannot hold the job's module and inputs: "+err.Error())
	}
	if err != nil {
		return refusal(reasonInputs, "module or inputs could not be fetched: "+err.Error())
	}
	a, err := n.engine.ask(ctx, on, func(t uint64) shard.Event {
		return shard.Submit{Token: t, Offer: s.Offer, Holders: holders}
	})
	if r := unfinished(a, err); r != nil {
		n.refused.WithLabelValues(r.Code).Inc()
		return r
	}
	acc := &meshpb.Acceptance{
		Job: id[:], Shard: on, Term: a.Term, Index: a.Index, Accepted: a.At, Coordinator: n.self, Created: a.Created,
	}
	if acc.Signature, err = n.signAcceptance(acc); err != nil {
		return refusal(api.CodeInternal, err.Error())
	}
	return &meshpb.JobReply{Acceptance: acc}
}

// acceptanceBody is what a coordinator signs: the acceptance without signature.
func acceptanceBody(a *meshpb.Acceptance) ([]byte, error) {
	c := proto.Clone(a).(*meshpb.Acceptance)
	c.Signature = nil
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode the acceptance: %w", err)
	}
	return append([]byte("ciro-acceptance\x00"), b...), nil
}

func (n *Node) signAcceptance(a *meshpb.Acceptance) ([]byte, error) {
	body, err := acceptanceBody(a)
	if err != nil {
		return nil, err
	}
	return n.key.Sign(body)
}

// whileLeading gives a context that also ends when this node no longer leads the
// shard: a minority must not go on looking for nodes that cannot be reached.
func (n *Node) whileLeading(ctx context.Context, id uint32) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	joined := make(chan struct{})
	go func() {
		defer close(joined)
		look := time.NewTicker(200 * time.Millisecond)
		defer look.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-look.C:
				if n.leadsReply(ctx, id) != nil {
					cancel()
				}
			}
		}
	}()
	return ctx, func() { cancel(); <-joined }
}

// leadsReply returns nil if this node leads the shard, else the redirect. It
// saves fetching inputs for a job that another node will take.
func (n *Node) leadsReply(ctx context.Context, id uint32) *meshpb.JobReply {
	var h shard.Health
	err := n.engine.query(ctx, func(e *engine) {
		if r := e.replicas[id]; r != nil {
			h = r.Health()
		}
	})
	if err != nil {
		return refusal(shard.ReasonUnavailable, err.Error())
	}
	if h.Mine {
		return nil
	}
	leader := h.Leader
	if leader == "" {
		leader = n.dir.shard(id).Leader
	}
	return &meshpb.JobReply{Code: shard.ReasonNotLeader, Message: "this node does not coordinate the shard", Leader: leader}
}

func (n *Node) serveCancel(ctx context.Context, c *meshpb.Cancel) *meshpb.JobReply {
	id, on, bad := n.target(c.Job)
	if bad != nil {
		return bad
	}
	a, err := n.engine.ask(ctx, on, func(t uint64) shard.Event { return shard.Cancel{Token: t, Job: id, Why: c.Why} })
	if r := unfinished(a, err); r != nil {
		return r
	}
	return &meshpb.JobReply{}
}

// target reads a job id from a request.
func (n *Node) target(b []byte) (id job.ID, on uint32, bad *meshpb.JobReply) {
	if len(b) != len(id) {
		return id, 0, refusal(api.CodeInvalidRequest, "a job id has 32 bytes")
	}
	copy(id[:], b)
	return id, id.Shard(n.net.gen.Shards), nil
}

// readable waits until the shard's state here holds all that was acknowledged
// before the request; nil then.
func (n *Node) readable(ctx context.Context, on uint32) *meshpb.JobReply {
	a, err := n.engine.ask(ctx, on, func(t uint64) shard.Event { return shard.Read{Token: t} })
	return unfinished(a, err)
}

func (n *Node) serveDescribe(ctx context.Context, d *meshpb.Describe) *meshpb.JobReply {
	id, on, bad := n.target(d.Job)
	if bad != nil {
		return bad
	}
	if !d.Stale {
		if r := n.readable(ctx, on); r != nil {
			return r
		}
	}
	var view *api.Job
	forgotten := false
	err := n.engine.query(ctx, func(e *engine) {
		r := e.replicas[on]
		if r == nil {
			return
		}
		if j := r.State().Jobs[id]; j != nil {
			view = n.viewJob(r, j, on)
			if !d.Stale {
				return
			}
			// As old as the last word of a leader, whoever that was.
			last := n.dir.shard(on)
			view.Stale, view.Coordinator, view.AsOf = true, last.Leader, api.At(last.at)
			if !j.State.Terminal() {
				view.WaitingFor = &api.Waiting{Code: shard.WaitsLeader,
					Sentence: "the shard's coordinator cannot be reached; this is what this node remembers"}
			}
		}
		_, forgotten = r.State().Tombstones[id]
	})
	switch {
	case err != nil:
		return refusal(shard.ReasonUnavailable, err.Error())
	case view == nil && forgotten:
		return refusal(api.CodeExpired, "the job has ended and its retention is over")
	case view == nil:
		return refusal(api.CodeUnknownJob, "no job with this id is known")
	}
	return jsonReply(view)
}

func jsonReply(v any) *meshpb.JobReply {
	b, err := json.Marshal(v)
	if err != nil {
		return refusal(api.CodeInternal, err.Error())
	}
	return &meshpb.JobReply{Json: b}
}

// led runs f for every shard that this node leads and lists them, after one
// ReadIndex each.
func (n *Node) led(ctx context.Context, f func(id uint32, r *shard.Replica)) []uint32 {
	var ids []uint32
	err := n.engine.query(ctx, func(e *engine) {
		for id, r := range e.replicas {
			if r.Health().Mine {
				ids = append(ids, id)
			}
		}
	})
	if err != nil {
		return nil
	}
	type outcome struct {
		id uint32
		ok bool
	}
	results := make(chan outcome, len(ids))
	for _, id := range ids {
		go func() { results <- outcome{id, n.readable(ctx, id) == nil} }()
	}
	var good []uint32
	for range ids {
		if o := <-results; o.ok {
			good = append(good, o.id)
		}
	}
	if n.engine.query(ctx, func(e *engine) {
		for _, id := range good {
			if r := e.replicas[id]; r != nil {
				f(id, r)
			}
		}
	}) != nil {
		return nil
	}
	return good
}

func (n *Node) serveFind(ctx context.Context, f *meshpb.Find) *meshpb.JobReply {
	out := &meshpb.JobReply{}
	out.Shards = n.led(ctx, func(_ uint32, r *shard.Replica) {
		for _, id := range r.State().FindPrefix(f.Prefix, 3) {
			out.Ids = append(out.Ids, id[:])
		}
	})
	return out
}

func (n *Node) serveWorkers(ctx context.Context) *meshpb.JobReply {
	var all []leaderWorker
	shards := n.led(ctx, func(on uint32, r *shard.Replica) {
		for _, w := range r.Workers() {
			all = append(all, leaderWorker{Shard: on, WorkerView: w})
		}
	})
	r := jsonReply(all)
	r.Shards = shards
	return r
}

// leaderWorker is a worker as the leader of one shard sees it, between nodes.
type leaderWorker struct {
	Shard uint32
	shard.WorkerView
}
