package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/jobspec"
	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/p2p/blobs"
	"github.com/ciro-network/ciro/scheduler/job"
)

// offerLife is how long an offer of this daemon may be accepted. It also decides
// how long an ended job is kept: offerLife + job.Retention after submission at
// least.
const offerLife = time.Hour

// answerTimeout bounds the whole of a request at this node's door, however many
// nodes and steps it takes: the minority side of a partition says so in time
// (G7). A coordinator that has more to do for the request extends it for as
// often as it says so, which it does only while a majority follows it.
const answerTimeout = 2800 * time.Millisecond

// answerBy is the deadline of a request that comes to the door now. Every step
// of the request is given the same one.
func answerBy() time.Time { return time.Now().Add(answerTimeout) }

// adapter is the node as its HTTP interface sees it.
type adapter struct{ n *Node }

// short is a peer id for people.
func short(p string) string {
	if len(p) > 12 {
		return p[len(p)-8:]
	}
	return p
}

// Submit implements api.Jobs.
func (a *adapter) Submit(ctx context.Context, s api.Submission) (api.Acceptance, error) {
	until := answerBy()
	raw, offer, err := a.offer(ctx, s)
	if err != nil {
		return api.Acceptance{}, err
	}
	a.n.gossip.announce(offer, raw)
	id := offer.ID()
	on := id.Shard(a.n.net.gen.Shards)
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_Submit{Submit: &meshpb.Submit{Offer: raw, Holders: []string{a.n.self}}}}
	var acc *meshpb.Acceptance
	err = a.leader(ctx, asked{shard: on, until: until}, req, func(r *meshpb.JobReply) error { acc = r.Acceptance; return nil })
	if err == nil && !bytes.Equal(acc.GetJob(), id[:]) { // none, or not of this job
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
func (a *adapter) offer(ctx context.Context, s api.Submission) ([]byte, *job.Offer, error) {
	doc, err := jobspec.Parse(s.Spec, "spec")
	if err != nil {
		return nil, nil, api.Refuse(api.CodeInvalidSpec, "correct the spec and submit it again", "%v", err)
	}
	spec, err := doc.Spec()
	if err != nil {
		return nil, nil, api.Refuse(api.CodeInvalidSpec, "correct the spec and submit it again", "%v", err)
	}
	if err := a.checkModule(ctx, spec); err != nil {
		return nil, nil, err
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
		Network: a.n.net.id, ClientKey: a.n.client.Public().(ed25519.PublicKey), NotAfter: a.n.wall().Add(offerLife).UnixMilli(), Spec: encoded,
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

// checkModule refuses what is no program, if it is at hand: a job with such a
// module would only fail later.
func (a *adapter) checkModule(ctx context.Context, spec *job.Spec) error {
	c, err := cid.Decode(spec.Module)
	if err != nil {
		return api.Refuse(api.CodeInvalidSpec, "correct the spec and submit it again", "module: %q is no CID", spec.Module)
	}
	f, _, err := a.n.blobs.Open(ctx, c, "")
	if errors.Is(err, blobs.ErrNotFound) || ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return api.Refuse(api.CodeInvalidSpec, "name the CID of a .wasm file", "module: %v", err)
	}
	defer f.Close()
	head := make([]byte, jobspec.ModuleHead)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil // it is at hand in part only
	}
	if err := jobspec.CheckModule(head[:n]); err != nil {
		return api.Refuse(api.CodeInvalidSpec, "", "module: %v", err)
	}
	return nil
}

// Cancel implements api.Jobs.
func (a *adapter) Cancel(ctx context.Context, text, reason string) error {
	until := answerBy()
	id, err := a.resolve(ctx, until, text)
	if err != nil {
		return err
	}
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_Cancel{Cancel: &meshpb.Cancel{Job: id[:], Why: reason}}}
	return a.leader(ctx, asked{shard: id.Shard(a.n.net.gen.Shards), until: until}, req, func(*meshpb.JobReply) error { return nil })
}

// Describe implements api.Jobs.
func (a *adapter) Describe(ctx context.Context, text string, stale bool) (api.Job, error) {
	until := answerBy()
	id, err := a.resolve(ctx, until, text)
	if err != nil {
		return api.Job{}, err
	}
	var out api.Job
	ask := asked{shard: id.Shard(a.n.net.gen.Shards), until: until}
	if stale {
		ask.until = until.Add(-rememberedTimeout) // so that others' memories can be asked for in time
	}
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_Describe{Describe: &meshpb.Describe{Job: id[:]}}}
	err = a.leader(ctx, ask, req, func(r *meshpb.JobReply) error { return json.Unmarshal(r.Json, &out) })
	var refused *api.Refusal
	if stale && errors.As(err, &refused) && refused.Code == api.CodeUnavailable {
		if r := a.remembered(ctx, until, id); r != nil {
			return out, json.Unmarshal(r.Json, &out)
		}
	}
	return out, err
}

// resolve reads a job id or finds the one job whose id begins so.
func (a *adapter) resolve(ctx context.Context, until time.Time, text string) (job.ID, error) {
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
	missing := a.everyLeader(ctx, until, req, func(r *meshpb.JobReply) error {
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
