package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// surveyTimeout bounds how long the holders of a shard are waited for.
const surveyTimeout = 5 * time.Second

// serveRecover answers for this node's replica of a shard, and begins the group
// anew with it when asked to; it looks around for itself before that.
func (n *Node) serveRecover(ctx context.Context, m *meshpb.Recover) *meshpb.JobReply {
	if m.Begin {
		r, err := n.begin(ctx, m.Shard, m.Lost)
		if err != nil {
			return refusal(api.CodeConflict, err.Error())
		}
		return jsonReply(r)
	}
	p, ok := n.position(ctx, m.Shard)
	if !ok {
		return refusal(api.CodeNotFound, "no replica of the shard is here")
	}
	return jsonReply(p)
}

// position describes this node's replica of a shard.
func (n *Node) position(ctx context.Context, id uint32) (p api.Replica, ok bool) {
	err := n.engine.query(ctx, func(e *engine) {
		if r := e.replicas[id]; r != nil {
			at := r.Position()
			p = api.Replica{Peer: n.self, Replica: at.ID, Term: at.Term, Last: at.Last, Applied: at.Applied, Epoch: at.Epoch, Leader: at.Leader, Voters: at.Voters}
			ok = true
		}
	})
	return p, ok && err == nil
}

// survey asks all coordinators for their replica of a shard and judges what they
// say.
func (n *Node) survey(ctx context.Context, id uint32, lost []string) (api.Recovery, error) {
	return judge(id, n.askReplicas(ctx, id), lost)
}

// judge chooses the replica that knows most. It is an error when the shard needs
// no recovery or cannot have one.
func judge(id uint32, replicas []api.Replica, lost []string) (api.Recovery, error) {
	out := api.Recovery{Shard: int(id), Replicas: replicas}
	best := api.Replica{}
	for _, r := range out.Replicas {
		if r.Leader != "" {
			return out, fmt.Errorf("shard %d has a coordinator, %s, as %s says: nothing is to be recovered", id, short(r.Leader), short(r.Peer))
		}
		if slices.Contains(lost, r.Peer) {
			return out, fmt.Errorf("%s is named as lost, but answers", r.Peer)
		}
		if len(r.Voters) > 0 && (r.Epoch > best.Epoch || r.Epoch == best.Epoch && (r.Term > best.Term || r.Term == best.Term && r.Last > best.Last)) {
			best = r
		}
	}
	if best.Peer == "" {
		return out, fmt.Errorf("no node that holds shard %d answers: without any replica there is nothing to begin with", id)
	}
	answering := 0
	for _, v := range best.Voters {
		there := slices.ContainsFunc(out.Replicas, func(r api.Replica) bool { return r.Peer == v })
		switch {
		case there:
			answering++
		case !slices.Contains(lost, v):
			return out, fmt.Errorf("voter %s neither answers nor is named as lost; start it, or add --lost %s if it will never come back", v, v)
		}
	}
	if 2*answering > len(best.Voters) {
		return out, fmt.Errorf("%d of %d voters of shard %d answer: they are a majority and will choose a coordinator by themselves", answering, len(best.Voters), id)
	}
	out.From = best.Peer
	out.MayLose = fmt.Sprintf("its log ends at index %d (term %d); acceptances, assignments and results that only the lost voters [%s] had stored are lost, and what it had not seen committed counts as committed",
		best.Last, best.Term, strings.Join(lost, ", "))
	return out, nil
}

// askReplicas asks this node and all connected coordinators for their replica.
func (n *Node) askReplicas(ctx context.Context, id uint32) []api.Replica {
	ctx, cancel := context.WithTimeout(ctx, surveyTimeout)
	defer cancel()
	found := []api.Replica{}
	if p, ok := n.position(ctx, id); ok {
		found = append(found, p)
	}
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_Recover{Recover: &meshpb.Recover{Shard: id}}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for p, m := range n.dir.members(true) {
		if !m.is(roleCoordinator) {
			continue
		}
		wg.Go(func() {
			r, err := n.links.one(ctx, p.String(), req)
			var at api.Replica
			if err != nil || r.Code != "" || json.Unmarshal(r.Json, &at) != nil {
				return
			}
			at.Peer = p.String() // nobody speaks for another
			mu.Lock()
			defer mu.Unlock()
			found = append(found, at)
		})
	}
	wg.Wait()
	slices.SortFunc(found, func(a, b api.Replica) int { return strings.Compare(a.Peer, b.Peer) })
	return found
}

// begin begins a shard's group anew with this node's replica.
func (n *Node) begin(ctx context.Context, id uint32, lost []string) (api.Recovery, error) {
	out, err := n.survey(ctx, id, lost)
	if err != nil {
		return out, err
	}
	if out.From != n.self {
		return out, fmt.Errorf("the replica of %s knows more than this one", short(out.From))
	}
	inc, err := randomID()
	if err != nil {
		return out, err
	}
	var failed error
	err = n.engine.query(ctx, func(e *engine) { failed = e.recover(n, id, recovering{lost, inc}) })
	if err != nil || failed != nil {
		return out, fmt.Errorf("recover shard %d: %w", id, firstOf(err, failed))
	}
	p, _ := n.position(ctx, id)
	out.Done, out.Epoch = true, p.Epoch
	n.log.Warn("shard recovered: its group begins anew with this node's replica", "shard", id, "lost", lost, "epoch", p.Epoch, "replica", p.Replica, "last", p.Last)
	return out, nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// recovering is what a recovery is made with.
type recovering struct {
	lost        []string
	incarnation uint64
}

// recover puts a recovered replica in the place of the one that is here, in one
// durable write.
func (e *engine) recover(n *Node, id uint32, how recovering) error {
	r := e.replicas[id]
	if r == nil {
		return fmt.Errorf("no replica is here")
	}
	rec, err := r.Recover(how.lost, how.incarnation)
	if err != nil {
		return err
	}
	b := e.write()
	b.DropReplica(id, rec.Floor)
	b.PutReplica(id, rec.ID, how.incarnation)
	e.persist(id, rec.Image)
	delete(e.replicas, id)
	made, err := shard.New(e.replicaConfig(n, id, rec), e.now())
	if err != nil {
		return err
	}
	e.replicas[id] = made
	return nil
}

func (e *engine) replicaConfig(n *Node, id uint32, rec shard.Recovered) shard.Config {
	c := shard.Config{
		Shard: id, Network: n.net.id, ID: rec.ID, Self: e.self, Params: n.params(), Compile: compile,
		HardState: rec.Image.HardState, Snapshot: rec.Image.Snapshot, First: rec.Image.SnapshotIndex + 1,
	}
	for _, ch := range rec.Image.Chunks {
		c.Chunks = append(c.Chunks, ch.Data)
	}
	return c
}

// Recover implements api.Network.
func (a *adapter) Recover(ctx context.Context, id int, lost []string, confirm bool) (api.Recovery, error) {
	if id < 0 || id >= int(a.n.net.gen.Shards) {
		return api.Recovery{}, api.Refuse(api.CodeInvalidRequest, "ciro network shards lists them", "there is no shard %d", id)
	}
	look, err := a.n.survey(ctx, uint32(id), lost)
	if err != nil {
		return look, api.Refuse(api.CodeConflict, "ciro network shards --output json names the voters", "%s", err.Error())
	}
	if !confirm {
		return look, nil
	}
	reply, err := a.n.links.one(ctx, look.From, &meshpb.JobRequest{What: &meshpb.JobRequest_Recover{
		Recover: &meshpb.Recover{Shard: uint32(id), Lost: lost, Begin: true}}})
	if err != nil {
		return look, api.Refuse(api.CodeUnavailable, "look again before repeating it", "%s did not answer: %v", short(look.From), err)
	}
	if reply.Code != "" {
		return look, api.Refuse(reply.Code, "", "%s", reply.Message)
	}
	var done api.Recovery
	if err := json.Unmarshal(reply.Json, &done); err != nil {
		return look, fmt.Errorf("recovery of shard %d: %w", id, err)
	}
	return done, nil
}
