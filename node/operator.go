package node

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/jobspec"
	"github.com/ciro-network/ciro/scheduler/work"
	"github.com/ciro-network/ciro/scheduler/worker"
)

// Keys of what an operator decided, which outlasts the process.
var (
	drainKey = []byte("k/drain")
	offerKey = []byte("k/offer")
)

// drained says whether the operator took this worker out.
func (n *Node) drained() (bool, error) {
	_, on, err := n.store.Get(drainKey)
	return on, err
}

// offering is the configuration of the worker with what its operator changed.
func (n *Node) offering() (config.Worker, error) {
	raw, ok, err := n.store.Get(offerKey)
	if err != nil || !ok {
		return n.cfg.Worker, err
	}
	var change api.Offering
	if err := json.Unmarshal(raw, &change); err != nil {
		return n.cfg.Worker, fmt.Errorf("stored offer of this worker: %w", err)
	}
	return overlay(n.cfg, &change)
}

// overlay is the worker's part of a configuration with a change, if that is
// valid.
func overlay(c config.Config, o *api.Offering) (config.Worker, error) {
	w := &c.Worker
	put(&w.CPUs, o.CPUs)
	put(&w.Slots, o.Slots)
	put(&w.GPUs, o.GPUs)
	put(&w.Labels, o.Labels)
	put(&w.AllowClients, o.Allow)
	put(&w.DenyClients, o.Deny)
	if o.Types != nil {
		w.Types = nil
		for _, t := range *o.Types {
			known, ok := jobspec.Canonical(t)
			if !ok {
				return *w, fmt.Errorf("worker.types: %q is no job type", t)
			}
			w.Types = append(w.Types, known)
		}
	}
	for _, size := range []struct {
		to   *uint64
		from *int64
	}{{&w.Memory, o.Memory}, {&w.Disk, o.Disk}, {&w.GPUMemory, o.GPUMemory}} {
		if size.from != nil {
			*size.to = uint64(max(0, *size.from))
		}
	}
	if o.Price != nil {
		w.Price = uint64(math.Round(*o.Price * 1e6))
	}
	return *w, w.Validate()
}

func put[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// Drain implements api.Operator.
func (a *adapter) Drain(ctx context.Context, on bool) (api.Worker, error) {
	n := a.n
	if n.runner == nil {
		return api.Worker{}, noWorker()
	}
	b := n.store.NewBatch()
	defer b.Close()
	if b.Delete(drainKey); on {
		b.Set(drainKey, []byte{1})
	}
	if err := b.Commit(true); err != nil {
		return api.Worker{}, err
	}
	n.operatorDrains.Store(on)
	if err := n.drain(ctx); err != nil {
		return api.Worker{}, err
	}
	n.log.Info("worker drained or resumed by its operator", "draining", on)
	n.readvertise()
	return a.ownWorker(ctx)
}

// Offer implements api.Operator.
func (a *adapter) Offer(ctx context.Context, change *api.Offering) (api.Worker, error) {
	n := a.n
	if n.runner == nil {
		return api.Worker{}, noWorker()
	}
	n.offerMu.Lock()
	defer n.offerMu.Unlock()
	b := n.store.NewBatch()
	defer b.Close()
	w := n.cfg.Worker
	if change == nil {
		b.Delete(offerKey)
	} else {
		all := api.Offering{}
		raw, ok, err := n.store.Get(offerKey)
		if err == nil && ok {
			err = json.Unmarshal(raw, &all)
		}
		if err != nil {
			return api.Worker{}, fmt.Errorf("stored offer of this worker: %w", err)
		}
		// Decoding the change over what is stored replaces just the fields given.
		if raw, err = json.Marshal(change); err == nil {
			err = json.Unmarshal(raw, &all)
		}
		if err != nil {
			return api.Worker{}, fmt.Errorf("merge the offer: %w", err)
		}
		if w, err = overlay(n.cfg, &all); err != nil {
			return api.Worker{}, api.Refuse(api.CodeInvalidRequest, "correct it and try again; nothing was changed", "%v", err)
		}
		if raw, err = json.Marshal(&all); err != nil {
			return api.Worker{}, fmt.Errorf("keep the offer: %w", err)
		}
		b.Set(offerKey, raw)
	}
	if err := b.Commit(true); err != nil {
		return api.Worker{}, err
	}
	c := n.capability(w, n.runner.offered().Executors)
	n.runner.capability.Store(&c)
	if err := n.engine.query(ctx, func(e *engine) { e.stepWorker(worker.Capability{Capability: c}) }); err != nil {
		return api.Worker{}, err
	}
	n.log.Info("offer of this worker changed", "cpu", c.Total.CPU, "memory", c.Total.Memory, "slots", c.Slots)
	n.readvertise()
	return a.ownWorker(ctx)
}

func noWorker() error {
	return api.Refuse(api.CodeConflict, "start it with --roles worker to have it run jobs", "this node is no worker")
}

// ownWorker is this node's worker as it sees itself, at once: what the leaders
// say follows within a heartbeat.
func (a *adapter) ownWorker(ctx context.Context) (api.Worker, error) {
	n, c := a.n, a.n.runner.offered()
	out := api.Worker{
		ID: n.self, Name: n.cfg.Name, State: api.WorkerOnline, Version: c.Version, Total: viewResources(c.Total), Executors: c.Executors,
		JobTypes: c.Types, Labels: labels(c.Labels), Seen: api.At(time.Now()), Self: true,
	}
	for _, s := range n.serves {
		out.Shards = append(out.Shards, int(s))
	}
	err := n.engine.query(ctx, func(e *engine) {
		s := e.worker.Status()
		out.Free, out.Running = viewResources(s.Free), len(s.Running)
		switch {
		case s.Draining:
			out.State = api.WorkerDraining
		case len(s.Running) > 0:
			out.State = api.WorkerBusy
		}
	})
	return out, err
}

// Usage implements api.Operator.
func (a *adapter) Usage(ctx context.Context, collect bool) (api.BlobUsage, error) {
	n, out := a.n, api.BlobUsage{Quota: a.n.cfg.Storage.BlobQuota}
	if collect {
		n.unpinDue(ctx)
		var err error
		if out.Freed, err = n.blobs.Collect(ctx); err != nil {
			return out, err
		}
	}
	out.Bytes, out.Blocks = n.blobs.Usage(ctx)
	owners, err := n.blobs.Owners(ctx)
	out.Pins = len(owners)
	return out, err
}

// readvertise has the worker's advert gossiped soon, since it has changed.
func (n *Node) readvertise() {
	select {
	case n.changed <- struct{}{}:
	default: // it is due already
	}
}

// offered is what this worker offers now.
func (r *runner) offered() work.Capability { return *r.capability.Load() }

// sortedKeys are client keys as a capability carries them.
func sortedKeys(keys []string) []string { return slices.Compact(slices.Sorted(slices.Values(keys))) }
