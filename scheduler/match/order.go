package match

import (
	"cmp"
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
)

const (
	ageStep     = 5 * time.Minute // of waiting that counts as one of priority
	maxPriority = 10
)

// Entry is one job that waits for workers.
type Entry struct {
	Job      job.ID
	Index    uint64        // log index of the acceptance: the order of submission
	Priority uint8         // 1..10
	Waiting  time.Duration // since the acceptance
	Share    float64       // the client's committed dominant share in the shard, 0..1
}

// effective is the priority with ageing.
func (e *Entry) effective() int64 {
	return min(maxPriority, int64(e.Priority)+int64(max(0, e.Waiting)/ageStep))
}

func compare(a, b Entry) int {
	return cmp.Or(
		cmp.Compare(b.effective(), a.effective()),
		cmp.Compare(a.Share, b.Share),
		cmp.Compare(a.Index, b.Index),
	)
}

// Before says whether a is served before b.
func Before(a, b Entry) bool { return compare(a, b) < 0 }

// Order sorts entries in place, the first to be served first.
func Order(entries []Entry) { slices.SortFunc(entries, compare) }
