package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/meshpb"
)

// maxAllowed bounds the founder's list.
const maxAllowed = 512

// allowedKey is where the newest allow list is stored.
var allowedKey = []byte("k/allowed")

// admission says who may hold replicas: the rule of the genesis and, where that
// is a list, the newest that the founder has signed.
type admission struct {
	rule    string
	founder string
	leaving atomic.Bool // this node gives up its replicas

	mu   sync.Mutex // guards what follows
	raw  []byte
	list *meshpb.AllowList
}

func newAdmission(net *network) *admission {
	rule := net.gen.Admission
	if rule == "" {
		rule = api.AdmissionList
		if net.gen.Closed {
			rule = api.AdmissionOpen
		}
	}
	return &admission{rule: rule, founder: net.gen.Founder, list: &meshpb.AllowList{}}
}

// admits says whether a coordinator may hold replicas.
func (a *admission) admits(p string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rule == api.AdmissionOpen || p == a.founder || slices.Contains(a.list.Peers, p)
}

// encoded returns the newest list as signed, nil for none.
func (a *admission) encoded() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.raw
}

func (a *admission) view() api.Admission {
	a.mu.Lock()
	defer a.mu.Unlock()
	return api.Admission{Rule: a.rule, Founder: a.founder, Allowed: append([]string{}, a.list.Peers...), Sequence: a.list.Sequence}
}

// allowBody is what the founder signs.
func allowBody(l *meshpb.AllowList) ([]byte, error) {
	c := proto.Clone(l).(*meshpb.AllowList)
	c.Signature = nil
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(c)
	return append([]byte("ciro-allow\x00"), b...), err
}

// take takes a list if it is the founder's and newer than the one known; it says
// whether it was.
func (a *admission) take(network [32]byte, raw []byte) (bool, error) {
	l := &meshpb.AllowList{}
	if err := proto.Unmarshal(raw, l); err != nil {
		return false, fmt.Errorf("allow list: %w", err)
	}
	if string(l.Network) != string(network[:]) || len(l.Peers) > maxAllowed {
		return false, errors.New("allow list: it is of another network, or too long")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if l.Sequence <= a.list.Sequence {
		return false, nil
	}
	id, err := peer.Decode(a.founder)
	if err != nil {
		return false, fmt.Errorf("allow list: founder: %w", err)
	}
	key, err := id.ExtractPublicKey()
	if err != nil {
		return false, fmt.Errorf("allow list: founder's key: %w", err)
	}
	body, err := allowBody(l)
	if err != nil {
		return false, fmt.Errorf("allow list: %w", err)
	}
	if ok, err := key.Verify(body, l.Signature); err != nil || !ok {
		return false, errors.New("allow list: it is not signed by the founder")
	}
	a.raw, a.list = raw, l
	return true, nil
}

// openAdmission reads the list that was known when the node stopped.
func (n *Node) openAdmission() error {
	n.dir.admission = newAdmission(n.net)
	raw, ok, err := n.store.Get(allowedKey)
	if err != nil || !ok {
		return err
	}
	if _, err := n.dir.admission.take(n.net.id, raw); err != nil {
		return fmt.Errorf("stored %w", err)
	}
	return nil
}

// heardAllowed takes an allow list from a peer, keeps a newer one and passes it
// on.
func (n *Node) heardAllowed(raw []byte) {
	if len(raw) == 0 {
		return
	}
	newer, err := n.dir.admission.take(n.net.id, raw)
	if err != nil {
		n.log.Debug("allow list refused", "error", err)
	}
	if !newer {
		return
	}
	b := n.store.NewBatch()
	b.Set(allowedKey, raw)
	if err := b.Commit(true); err != nil {
		n.log.Error("cannot store the allow list", "error", err)
	}
	n.log.Info("the founder's allow list has changed", "sequence", n.dir.admission.view().Sequence)
	n.greetAll()
}

// greetAll says hello again to all connected members, because what it says has
// changed.
func (n *Node) greetAll() {
	for p := range n.dir.members(true) {
		n.background(func(ctx context.Context) {
			if err := n.sayHello(ctx, p); err != nil {
				n.log.Debug("hello failed", "peer", p, "error", err)
			}
		})
	}
}

// candidates are the coordinators that may hold replicas, sorted, and those that
// give theirs up: connected, admitted by the network's rule, and with a clock
// that agrees with the others'. skewed says that this node's own does not.
func (n *Node) candidates() (fit, leaving []string, skewed bool) {
	members := n.dir.members(true)
	own := n.skew.Load()
	off := func(m member) bool { return own.of >= 3 && m.origin.Sub(own.median).Abs() > maxSkew }
	consider := func(p string, m member) {
		switch {
		case !m.is(roleCoordinator):
		case m.leaving:
			leaving = append(leaving, p)
		case n.dir.admission.admits(p) && !off(m):
			fit = append(fit, p)
		}
	}
	for p, m := range members {
		consider(p.String(), m)
	}
	consider(n.self, member{roles: n.cfg.Roles, origin: n.origin(), leaving: n.dir.admission.leaving.Load()})
	slices.Sort(fit)
	slices.Sort(leaving)
	return fit, leaving, own.wrong()
}

// Admission implements api.Network.
func (a *adapter) Admission(context.Context) (api.Admission, error) {
	return a.n.dir.admission.view(), nil
}

// Allow implements api.Network.
func (a *adapter) Allow(_ context.Context, p string, allow bool) (api.Admission, error) {
	n, ad := a.n, a.n.dir.admission
	id, err := peer.Decode(p)
	if err != nil {
		return api.Admission{}, api.Refuse(api.CodeInvalidRequest, "ciro network peers --output json shows peer ids", "%q is no peer id", p)
	}
	if ad.rule == api.AdmissionOpen {
		return api.Admission{}, api.Refuse(api.CodeConflict, "a list is chosen when a network is founded: ciro start --open, or network.admission in the configuration",
			"every coordinator of this network may vote: the rule of its founding is %q", ad.rule)
	}
	if id.String() == ad.founder {
		return api.Admission{}, api.Refuse(api.CodeConflict, "ciro network leave makes it give up its replicas", "the founder may always vote")
	}
	if n.self != ad.founder {
		return api.Admission{}, api.Refuse(api.CodeForbidden, "ask the API of the founder's node", "the list is the founder's (%s), this is another node", ad.founder)
	}
	next := ad.view()
	next.Allowed = slices.DeleteFunc(next.Allowed, func(q string) bool { return q == id.String() })
	if allow {
		next.Allowed = append(next.Allowed, id.String())
	}
	if len(next.Allowed) > maxAllowed {
		return api.Admission{}, api.Refuse(api.CodeConflict, "take some off with ciro network disallow PEER", "the list has %d peers already", maxAllowed)
	}
	slices.Sort(next.Allowed)
	l := &meshpb.AllowList{Network: n.net.id[:], Sequence: next.Sequence + 1, Peers: next.Allowed}
	body, err := allowBody(l)
	if err != nil {
		return api.Admission{}, fmt.Errorf("allow list: %w", err)
	}
	if l.Signature, err = n.key.Sign(body); err != nil {
		return api.Admission{}, fmt.Errorf("sign the allow list: %w", err)
	}
	raw, err := proto.Marshal(l)
	if err != nil {
		return api.Admission{}, fmt.Errorf("encode the allow list: %w", err)
	}
	n.heardAllowed(raw)
	return ad.view(), nil
}

// leaveTimeout bounds how long a node that leaves waits for others to take over:
// less than the time that a call of the API may take.
const leaveTimeout = 45 * time.Second

// Leave implements api.Network.
func (a *adapter) Leave(ctx context.Context) (api.Departure, error) {
	n := a.n
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	held := func() (ids []int) {
		_ = n.engine.query(n.bgCtx, func(e *engine) { // a stopped engine holds nothing
			for id := range e.replicas {
				ids = append(ids, int(id))
			}
		})
		slices.Sort(ids)
		return ids
	}
	before := held()
	if fit, _, _ := n.candidates(); len(before) > 0 && !slices.ContainsFunc(fit, func(p string) bool { return p != n.self }) {
		return api.Departure{Left: []int{}, Kept: before}, nil // there is nobody to wait for
	}
	n.dir.admission.leaving.Store(true)
	n.log.Info("leaving the shards' groups", "shards", len(before))
	n.greetAll()
	kept := before
	for len(kept) > 0 && ctx.Err() == nil {
		pause(ctx, 100*time.Millisecond)
		kept = held()
	}
	if len(kept) > 0 {
		n.dir.admission.leaving.Store(false) // somebody has to hold them
		n.greetAll()
	}
	out := api.Departure{Left: []int{}, Kept: append([]int{}, kept...)}
	for _, id := range before {
		if !slices.Contains(kept, id) {
			out.Left = append(out.Left, id)
		}
	}
	return out, nil
}
