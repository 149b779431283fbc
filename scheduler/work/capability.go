package work

import (
	"slices"

	"github.com/ciro-network/ciro/scheduler/codec"
	"github.com/ciro-network/ciro/scheduler/job"
)

// Capability is what a worker offers; it changes slowly.
type Capability struct {
	Total     job.Resources
	Executors []string   // sorted
	Types     []string   // job types that it takes; empty: all
	Labels    []job.Pair // sorted by key
	Price     uint64     // micro-units per core-hour
	Slots     uint32     // attempts at the same time; 0: only resources bound it
	Version   string     // of the software
	Allow     []string   // client keys, hexadecimal, sorted; if there are any, only their jobs are taken
	Deny      []string   // client keys whose jobs are not taken; likewise
}

// Picky says whether the worker tells clients apart.
func (c *Capability) Picky() bool { return len(c.Allow)+len(c.Deny) > 0 }

// Serves says whether the worker takes jobs of a client, by its key in
// hexadecimal.
func (c *Capability) Serves(client string) bool {
	_, allowed := slices.BinarySearch(c.Allow, client)
	_, denied := slices.BinarySearch(c.Deny, client)
	return !denied && (allowed || len(c.Allow) == 0)
}

func putCapability(w *codec.Writer, c *Capability) {
	job.PutResources(w, c.Total)
	w.Strings(c.Executors)
	w.Strings(c.Types)
	job.PutPairs(w, c.Labels)
	w.Uint(c.Price)
	w.Uint(uint64(c.Slots))
	w.String(c.Version)
	w.Strings(c.Allow)
	w.Strings(c.Deny)
}

func getCapability(r *codec.Reader) Capability {
	return Capability{
		Total: job.GetResources(r), Executors: r.Strings(16, maxText), Types: r.Strings(64, maxText),
		Labels: job.GetPairs(r), Price: r.Uint(), Slots: r.Uint32(), Version: r.String(maxText),
		Allow: r.Strings(MaxClients, maxText), Deny: r.Strings(MaxClients, maxText),
	}
}
