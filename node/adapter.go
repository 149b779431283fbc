package node

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/jobspec"
	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// offerLife is how long an offer of this daemon may be accepted. It also decides
// how long an ended job is kept: offerLife + job.Retention after submission at
// least.
const offerLife = time.Hour

// answerTimeout bounds how long a request looks for a coordinator: the minority
// side of a partition says so in time (G7).
const answerTimeout = 2800 * time.Millisecond

// adapter is the node as its HTTP interface sees it.
type adapter struct{ n *Node }

// leader sends a request to the leader of a shard, following redirects, and
// gives the replies to each. Refusals come back as *api.Refusal; when nobody
// leads within answerTimeout it is CodeUnavailable with what is known.
func (a *adapter) leader(ctx context.Context, on uint32, req *meshpb.JobRequest, each func(*meshpb.JobReply) error) error {
	until := time.Now().Add(answerTimeout)
	last := "no coordinator is known"
	hint := ""
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
			last = again.Message
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
			return a.unavailable(on, last)
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// asked is a node that is asked about a shard, and until when it may take to
// give a first reply.
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
			timer.Reset(acceptTimeout)
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

// short is a peer id for people.
func short(p string) string {
	if len(p) > 12 {
		return p[len(p)-8:]
	}
	return p
}

// refuse turns a refusal of another node into one of the API.
func refuse(r *meshpb.JobReply) *api.Refusal {
	switch r.Code {
	case job.ReasonInvalid:
		return api.Refuse(api.CodeInvalidSpec, "", "%s", r.Message)
	case job.ReasonExpired:
		return api.Refuse(api.CodeExpired, "submit the job again", "%s", r.Message)
	case job.ReasonUnknown:
		return api.Refuse(api.CodeUnknownJob, "ciro job list shows the known ones", "%s", r.Message)
	case job.ReasonEnded:
		return api.Refuse(api.CodeConflict, "", "%s", r.Message)
	case job.ReasonBusy:
		out := api.Refuse(api.CodeBusy, "try again in a moment", "%s", r.Message)
		out.RetryAfter = time.Second
		return out
	}
	return api.Refuse(r.Code, "", "%s", r.Message)
}

// unavailable says that a shard has no reachable leader, with what is known.
func (a *adapter) unavailable(on uint32, last string) *api.Refusal {
	k := a.n.dir.shard(on)
	voters := make([]string, 0, len(k.Voters))
	connected := a.n.dir.members(true)
	for _, v := range k.Voters {
		state := "unreachable"
		if p, err := peer.Decode(v); err == nil && (v == a.n.self || connected[p].connected) {
			state = "reachable"
		}
		voters = append(voters, short(v)+" "+state)
	}
	ago := "never heard of"
	if !k.at.IsZero() {
		ago = "last heard of " + time.Since(k.at).Round(100*time.Millisecond).String() + " ago"
	}
	r := api.Refuse(api.CodeUnavailable, "the outcome is unknown: repeat the same request, it is idempotent",
		"shard %d has no reachable coordinator (%s); leader %s, voters [%s]; %s", on, last, ago, strings.Join(voters, ", "), "a majority must be reachable")
	r.RetryAfter = time.Second
	return r
}

// Submit implements api.Jobs.
func (a *adapter) Submit(ctx context.Context, s api.Submission) (api.Acceptance, error) {
	raw, offer, err := a.offer(s)
	if err != nil {
		return api.Acceptance{}, err
	}
	a.n.gossip.announce(offer, raw)
	id := offer.ID()
	on := id.Shard(a.n.net.gen.Shards)
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_Submit{Submit: &meshpb.Submit{Offer: raw, Holders: []string{a.n.self}}}}
	var acc *meshpb.Acceptance
	err = a.leader(ctx, on, req, func(r *meshpb.JobReply) error { acc = r.Acceptance; return nil })
	if err == nil && acc == nil {
		err = errNoReply
	}
	var refused *api.Refusal
	if err == nil || errors.As(err, &refused) && refused.Code != api.CodeUnavailable {
		a.n.gossip.accepted(id)
	}
	if err != nil {
		return api.Acceptance{}, err
	}
	return a.viewAcceptance(acc)
}

// viewAcceptance checks the coordinator's signature before it is passed on.
func (a *adapter) viewAcceptance(acc *meshpb.Acceptance) (api.Acceptance, error) {
	body, err := acceptanceBody(acc)
	if err != nil {
		return api.Acceptance{}, err
	}
	p, err := peer.Decode(acc.Coordinator)
	if err != nil {
		return api.Acceptance{}, fmt.Errorf("acceptance: coordinator: %w", err)
	}
	key, err := p.ExtractPublicKey()
	if err != nil {
		return api.Acceptance{}, fmt.Errorf("acceptance: coordinator's key: %w", err)
	}
	if ok, err := key.Verify(body, acc.Signature); err != nil || !ok {
		return api.Acceptance{}, errors.New("the coordinator's acceptance is not signed by it")
	}
	rawKey, err := key.Raw()
	if err != nil {
		return api.Acceptance{}, fmt.Errorf("acceptance: coordinator's key: %w", err)
	}
	return api.Acceptance{
		Job: fmt.Sprintf("%x", acc.Job), Shard: int(acc.Shard), Term: acc.Term, Index: acc.Index, Coordinator: acc.Coordinator,
		AcceptedAt: api.At(time.UnixMilli(acc.Accepted)), Created: acc.Created, Signature: acc.Signature, Key: rawKey,
	}, nil
}

// offer makes and signs the offer of a submission. The same idempotency key and
// spec give the same offer, also after a restart.
func (a *adapter) offer(s api.Submission) ([]byte, *job.Offer, error) {
	doc, err := jobspec.Parse(s.Spec, "spec")
	if err != nil {
		return nil, nil, api.Refuse(api.CodeInvalidSpec, "correct the spec and submit it again", "%v", err)
	}
	spec, err := doc.Spec()
	if err != nil {
		return nil, nil, api.Refuse(api.CodeInvalidSpec, "correct the spec and submit it again", "%v", err)
	}
	encoded := spec.Encode()
	key := ""
	if s.IdempotencyKey != "" {
		sum := sha256.Sum256(append([]byte(s.IdempotencyKey+"\x00"), encoded...))
		key = string(sum[:])
		if raw, ok := a.n.store.Offer(key); ok {
			o, err := job.DecodeOffer(raw)
			return raw, o, err
		}
	}
	o := &job.Offer{
		Network: a.n.net.id, ClientKey: a.n.client.Public().(ed25519.PublicKey), NotAfter: time.Now().Add(offerLife).UnixMilli(), Spec: encoded,
	}
	if _, err := rand.Read(o.Nonce[:]); err != nil {
		return nil, nil, fmt.Errorf("read randomness: %w", err)
	}
	o.Signature = ed25519.Sign(a.n.client, o.Body())
	raw := o.Encode()
	if key != "" {
		if raw, err = a.n.store.KeepOffer(key, raw, time.UnixMilli(o.NotAfter)); err != nil {
			return nil, nil, err
		}
		o, err = job.DecodeOffer(raw) // another request with the same key may have been first
	}
	return raw, o, err
}

// Cancel implements api.Jobs.
func (a *adapter) Cancel(ctx context.Context, text, reason string) error {
	id, err := a.resolve(ctx, text)
	if err != nil {
		return err
	}
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_Cancel{Cancel: &meshpb.Cancel{Job: id[:], Why: reason}}}
	return a.leader(ctx, id.Shard(a.n.net.gen.Shards), req, func(*meshpb.JobReply) error { return nil })
}

// Describe implements api.Jobs.
func (a *adapter) Describe(ctx context.Context, text string, stale bool) (api.Job, error) {
	id, err := a.resolve(ctx, text)
	if err != nil {
		return api.Job{}, err
	}
	var out api.Job
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_Describe{Describe: &meshpb.Describe{Job: id[:]}}}
	err = a.leader(ctx, id.Shard(a.n.net.gen.Shards), req, func(r *meshpb.JobReply) error { return json.Unmarshal(r.Json, &out) })
	var refused *api.Refusal
	if stale && errors.As(err, &refused) && refused.Code == api.CodeUnavailable {
		r := a.n.serveDescribe(ctx, &meshpb.Describe{Job: id[:], Stale: true})
		if r.Code == "" {
			return out, json.Unmarshal(r.Json, &out)
		}
	}
	return out, err
}

// resolve reads a job id or finds the one job whose id begins so.
func (a *adapter) resolve(ctx context.Context, text string) (job.ID, error) {
	if len(text) == 64 {
		id, err := job.ParseID(text)
		if err != nil {
			return id, api.Refuse(api.CodeInvalidRequest, "", "%v", err)
		}
		return id, nil
	}
	if len(text) < 4 || strings.Trim(text, "0123456789abcdef") != "" {
		return job.ID{}, api.Refuse(api.CodeInvalidRequest, "give at least 4 hexadecimal digits of it", "%q is no job id", text)
	}
	found := map[string]bool{}
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_Find{Find: &meshpb.Find{Prefix: text}}}
	missing := a.everyLeader(ctx, req, func(r *meshpb.JobReply) error {
		for _, b := range r.Ids {
			found[string(b)] = true
		}
		return nil
	})
	switch {
	case len(found) > 1:
		return job.ID{}, api.Refuse(api.CodeAmbiguousID, "give more digits", "%d jobs begin with %s", len(found), text)
	case len(found) == 0 && len(missing) > 0:
		return job.ID{}, api.Refuse(api.CodeUnavailable, "give the whole id or try again", "no job that begins with %s was found, but shards %v did not answer", text, missing)
	case len(found) == 0:
		return job.ID{}, api.Refuse(api.CodeUnknownJob, "ciro job list shows the known ones", "no job begins with %s", text)
	}
	var id job.ID
	for s := range found {
		copy(id[:], s)
	}
	return id, nil
}

// everyLeader asks the leaders of all shards in parallel and returns the shards
// for which none answered. each is called from one goroutine at a time.
func (a *adapter) everyLeader(ctx context.Context, req *meshpb.JobRequest, each func(*meshpb.JobReply) error) []int {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	answered := map[uint32]bool{}
	var mu sync.Mutex
	for range 2 { // once more for shards whose leader was stale
		leaders := map[string]bool{}
		for _, k := range a.n.dir.all() {
			if k.Leader != "" && !answered[k.Shard] {
				leaders[k.Leader] = true
			}
		}
		var wg sync.WaitGroup
		for p := range leaders {
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
				}
			})
		}
		wg.Wait()
		if len(answered) == int(a.n.net.gen.Shards) || ctx.Err() != nil {
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

// List implements api.Jobs. Pages follow the submission time, newest first; the
// cursor is the last job's.
func (a *adapter) List(ctx context.Context, q api.ListQuery) (api.JobList, error) {
	limit := q.Limit
	if limit <= 0 || limit > api.MaxListLimit {
		limit = 100
	}
	skip := 0
	if q.Cursor != "" {
		v, err := strconv.Atoi(q.Cursor)
		if err != nil || v < 0 || v > 100*api.MaxListLimit {
			return api.JobList{}, api.Refuse(api.CodeInvalidRequest, "take it from the page before", "%q is no cursor", q.Cursor)
		}
		skip = v
	}
	out := api.JobList{Jobs: []api.JobSummary{}, AsOf: api.At(time.Now())}
	seen := map[string]bool{}
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_List{List: &meshpb.List{State: q.State, Type: q.Type, Limit: uint32(min(skip+limit+1, api.MaxListLimit))}}}
	out.Unanswered = a.everyLeader(ctx, req, func(r *meshpb.JobReply) error {
		var part []api.JobSummary
		if err := json.Unmarshal(r.Json, &part); err != nil {
			return err
		}
		for _, s := range part {
			if !seen[s.ID] {
				seen[s.ID] = true
				out.Jobs = append(out.Jobs, s)
			}
		}
		return nil
	})
	slices.SortFunc(out.Jobs, func(x, y api.JobSummary) int {
		if c := y.Submitted.Compare(x.Submitted.Time); c != 0 {
			return c
		}
		return strings.Compare(x.ID, y.ID)
	})
	out.Jobs = out.Jobs[min(skip, len(out.Jobs)):]
	if len(out.Jobs) > limit {
		out.Jobs, out.Next = out.Jobs[:limit], strconv.Itoa(skip+limit)
	}
	return out, nil
}
