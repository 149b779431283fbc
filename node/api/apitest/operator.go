package apitest

import (
	"context"

	"github.com/ciro-network/ciro/node/api"
)

// Drain notes what was asked for; see [Backend.Drained].
func (b *Backend) Drain(_ context.Context, on bool) (api.Worker, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return api.Worker{}, b.fail
	}
	b.drained = on
	state := api.WorkerOnline
	if on {
		state = api.WorkerDraining
	}
	return api.Worker{ID: "12D3Self", Name: "self", State: state, Self: true, Seen: api.At(Epoch)}, nil
}

// Drained says what was last asked of Drain.
func (b *Backend) Drained() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.drained
}

// Offer keeps the change; see [Backend.Offered].
func (b *Backend) Offer(_ context.Context, change *api.Offering) (api.Worker, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return api.Worker{}, b.fail
	}
	b.offered = change
	out := api.Worker{ID: "12D3Self", Name: "self", State: api.WorkerOnline, Self: true, Seen: api.At(Epoch), Total: api.Resources{CPU: 4, Memory: 8 << 30}}
	if change != nil && change.CPUs != nil {
		out.Total.CPU = *change.CPUs
	}
	if change != nil && change.Memory != nil {
		out.Total.Memory = *change.Memory
	}
	return out, nil
}

// Offered is the last change that Offer was given.
func (b *Backend) Offered() *api.Offering {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.offered
}

// Usage counts the blobs; a collection frees one byte.
func (b *Backend) Usage(_ context.Context, collect bool) (api.BlobUsage, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := api.BlobUsage{Quota: 1 << 30, Blocks: int64(len(b.blobs)), Pins: len(b.blobs)}
	for _, files := range b.blobs {
		for _, data := range files {
			out.Bytes += int64(len(data))
		}
	}
	if collect {
		out.Freed = 1
	}
	return out, b.fail
}
