package node

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
)

// maxRun is the longest that blobs are kept for a job that has not ended.
const maxRun = 24 * time.Hour

// keepUntil is until when this node keeps the blobs of a job: while the job may
// run, and then for the configured retention.
func (n *Node) keepUntil(spec *job.Spec) time.Time {
	tries := time.Duration(spec.Policy.Retries + 1)
	return time.Now().Add(min(maxRun, tries*min(spec.Policy.Timeout, maxRun)) + n.cfg.Storage.Retention)
}

// atMost is until when this node keeps a blob that another asks it to hold: no
// longer than it would for a job of its own.
func (n *Node) atMost(until time.Time) time.Time {
	if most := time.Now().Add(maxRun + n.cfg.Storage.Retention); until.After(most) {
		return most
	}
	return until
}

// pinOwner is the owner under which a blob is pinned: the hour at whose end the
// pin is due, and the blob.
func pinOwner(until time.Time, text string) string {
	return fmt.Sprintf("hour/%d/%s", until.Unix()/3600+1, text)
}

// unpinDue lets pins go whose time has come; the blob store frees what nobody
// pins in its own time.
func (n *Node) unpinDue(ctx context.Context) {
	owners, err := n.blobs.Owners(ctx)
	if err != nil {
		n.log.Warn("cannot list pins", "error", err)
		return
	}
	now := time.Now().Unix() / 3600
	for owner := range owners {
		rest, ours := strings.CutPrefix(owner, "hour/")
		hour, _, _ := strings.Cut(rest, "/")
		if due, err := strconv.ParseInt(hour, 10, 64); !ours || err != nil || due > now {
			continue
		}
		if err := n.blobs.Unpin(ctx, owner); err != nil {
			n.log.Warn("cannot let a pin go", "owner", owner, "error", err)
		}
	}
}
