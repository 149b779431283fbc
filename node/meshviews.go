package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/node/store"
	"github.com/ciro-network/ciro/scheduler/job"
)

// Status implements api.Mesh.
func (a *adapter) Status(ctx context.Context) (api.Status, error) {
	n := a.n
	s := api.Status{
		Peer: n.self, Name: n.cfg.Name, Version: n.parts.Version, Network: n.net.String(), Title: n.net.gen.Name,
		Roles: append([]string{}, n.cfg.Roles...), Started: api.At(n.started), Uptime: time.Since(n.started).Seconds(),
		Peers: len(n.dir.members(true)), Shards: int(n.net.gen.Shards), DataFormat: store.Format,
	}
	for _, m := range n.host.Addrs() {
		s.Addresses = append(s.Addresses, m.String())
	}
	hint, _, closed := strings.Cut(n.JoinCommand(), "#")
	if closed {
		hint += "#SECRET'"
	}
	s.JoinHint = hint
	err := n.engine.query(ctx, func(e *engine) {
		for id, r := range e.replicas {
			h := r.Health()
			if h.Mine {
				s.Leads = append(s.Leads, int(id))
			}
			for _, m := range r.State().Members {
				if m.Peer == n.self {
					s.Votes = append(s.Votes, int(id))
				}
			}
		}
		if e.worker != nil {
			w := e.worker.Status()
			s.Running, s.Draining = len(w.Running), w.Draining
			s.Total, s.Free = viewResources(n.runner.offered().Total), viewResources(w.Free)
		}
	})
	slices.Sort(s.Leads)
	slices.Sort(s.Votes)
	return s, err
}

// staleAfter is the age from which a fact about a shard counts as unknown.
const staleAfter = 15 * time.Second

// Health implements api.Mesh.
func (a *adapter) Health(ctx context.Context) (api.Health, error) {
	h := api.Health{Status: api.HealthOK, FullyReplicated: true, AsOf: api.At(time.Now())}
	var lost, thin, gone []string
	for _, k := range a.n.dir.all() {
		switch {
		case k.Leader == "" || time.Since(k.at) > staleAfter:
			lost = append(lost, fmt.Sprint(k.Shard))
			if text := a.n.majorityLost(k); text != "" {
				gone = append(gone, text)
			}
		case k.Wanted == 0 || len(k.Voters) < int(k.Wanted) || k.Live < k.Wanted:
			thin = append(thin, fmt.Sprint(k.Shard))
		}
	}
	h.Checks = append(h.Checks,
		check("leaders", lost, "every shard has a leader", "no leader known for shards "),
		check("replication", thin, "every shard has the voters that it should have", "fewer voters than there should be in shards "))
	if len(gone) > 0 {
		h.Checks = append(h.Checks, api.Check{Name: "majority", Detail: firstTwo(gone)})
	}
	store := api.Check{Name: "engine", OK: true, Detail: "the node's engine answers"}
	var stopped []string
	err := a.n.engine.query(ctx, func(e *engine) {
		for id, why := range e.broken { // any order: sorted below
			stopped = append(stopped, fmt.Sprintf("%d (%s)", id, why))
		}
	})
	if err != nil {
		store.OK, store.Detail = false, err.Error()
	}
	slices.Sort(stopped)
	room := a.n.disk.check()
	h.Checks = append(h.Checks, store, room, check("replicas", stopped, "every replica of this node runs", "replicas of this node have stopped; restart it, and see its log: shards "))
	var differ []string
	for _, id := range a.n.chain.wrong() {
		differ = append(differ, fmt.Sprint(id))
	}
	h.Checks = append(h.Checks, check("ledger", differ, "what leaders anchored is what this node made of the log",
		"LEDGER MISMATCH: this node's ledger is not what was anchored (its log names the entries; if only this node says so, "+
			"let it leave, empty its data directory and join again), in shards "))
	clock := a.n.clockCheck()
	h.Checks = append(h.Checks, clock)
	switch {
	case len(lost) > 0 || !store.OK || len(differ) > 0:
		h.Status, h.FullyReplicated = api.HealthFailing, false
	case len(thin) > 0 || len(stopped) > 0:
		h.Status, h.FullyReplicated = api.HealthDegraded, false
	case !clock.OK || !room.OK:
		h.Status = api.HealthDegraded
	}
	return h, nil
}

// firstTwo is the first two of several sentences, and how many there are besides.
func firstTwo(sentences []string) string {
	const shown = 2
	if len(sentences) <= shown {
		return strings.Join(sentences, "; ")
	}
	return fmt.Sprintf("%s; and so %d other shards: ciro network shards", strings.Join(sentences[:shown], "; "), len(sentences)-shown)
}

func check(name string, bad []string, good, prefix string) api.Check {
	if len(bad) == 0 {
		return api.Check{Name: name, OK: true, Detail: good}
	}
	return api.Check{Name: name, Detail: prefix + strings.Join(bad, ", ")}
}

// Workers implements api.Mesh: it asks all leaders and merges what they say.
func (a *adapter) Workers(ctx context.Context) (api.WorkerList, error) {
	byID := map[string]*api.Worker{}
	names := a.n.dir.members(false)
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_Workers{Workers: &meshpb.Workers{}}}
	a.everyLeader(ctx, answerBy(), req, func(r *meshpb.JobReply) error {
		var part []leaderWorker
		if err := json.Unmarshal(r.Json, &part); err != nil {
			return err
		}
		for i := range part {
			mergeWorker(byID, &part[i])
		}
		return nil
	})
	for p, ad := range a.n.gossip.adverts.all() {
		id := p.String()
		if byID[id] == nil { // advertised lately, attached to nobody
			byID[id] = &api.Worker{
				ID: id, Name: ad.name, State: api.WorkerOffline, Version: ad.Capability.Version, Total: viewResources(ad.Capability.Total),
				Executors: ad.Capability.Executors, JobTypes: ad.Capability.Types, Labels: labels(ad.Capability.Labels),
				Seen: api.At(ad.expires.Add(-advertLife)),
			}
		}
	}
	for p, m := range names {
		if w := byID[p.String()]; w != nil {
			w.Name = m.name
		}
	}
	out := api.WorkerList{Workers: []api.Worker{}, AsOf: api.At(time.Now())}
	for _, w := range byID {
		if w.ID == a.n.self {
			w.Self, w.Name = true, a.n.cfg.Name
		}
		slices.Sort(w.Shards)
		out.Workers = append(out.Workers, *w)
	}
	slices.SortFunc(out.Workers, func(x, y api.Worker) int { return strings.Compare(x.ID, y.ID) })
	return out, nil
}

func mergeWorker(byID map[string]*api.Worker, l *leaderWorker) {
	w := byID[l.Peer]
	if w == nil {
		w = &api.Worker{
			ID: l.Peer, State: api.WorkerOnline, Version: l.Capability.Version, Total: viewResources(l.Capability.Total),
			Free: viewResources(l.Free), Executors: l.Capability.Executors, JobTypes: l.Capability.Types, Labels: labels(l.Capability.Labels),
			Seen: api.At(time.Now()),
		}
		byID[l.Peer] = w
	}
	if slices.Contains(w.Shards, int(l.Shard)) {
		return // its leader was asked twice
	}
	w.Shards = append(w.Shards, int(l.Shard))
	w.Running += l.Attempts
	if free := viewResources(l.Free); free.CPU < w.Free.CPU {
		w.Free = free // the leader that knows of the most use is right
	}
	switch {
	case l.Draining:
		w.State = api.WorkerDraining
	case w.Running > 0 && w.State == api.WorkerOnline:
		w.State = api.WorkerBusy
	}
}

func labels(ps []job.Pair) map[string]string {
	out := make(map[string]string, len(ps))
	for _, p := range ps {
		out[p.Key] = p.Value
	}
	return out
}

// Peers implements api.Mesh.
func (a *adapter) Peers(context.Context) ([]api.Peer, error) {
	out := []api.Peer{}
	byID := map[string]int{}
	for _, p := range a.n.host.Peers() {
		v := api.Peer{ID: p.ID.String(), Connected: true, Latency: p.Latency.Seconds(), Since: api.At(p.Since), Roles: []string{}}
		for _, m := range p.Addrs {
			v.Addresses = append(v.Addresses, m.String())
			if strings.Contains(m.String(), "quic") {
				v.Transport = "quic-v1"
			} else if v.Transport == "" {
				v.Transport = "tcp"
			}
		}
		byID[v.ID] = len(out)
		out = append(out, v)
	}
	for p, m := range a.n.dir.members(false) {
		i, ok := byID[p.String()]
		if !ok {
			i = len(out)
			out = append(out, api.Peer{ID: p.String()})
		}
		out[i].Name, out[i].Version, out[i].Roles = m.name, m.version, append([]string{}, m.roles...)
	}
	slices.SortFunc(out, func(x, y api.Peer) int { return strings.Compare(x.ID, y.ID) })
	return out, nil
}
