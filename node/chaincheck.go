package node

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ciro-network/ciro/chain/ledger"
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// auditAtOnce bounds the entries that one look at a ledger reads again.
const auditAtOnce = 4096

// check holds a shard's ledger against what the log says of it: the newest
// anchored entry must be the one that the state names, and everything below it
// must lead up to it. What is missing, or lacks the leader's word for good, is
// wanted from other voters; what differs is an alarm. The whole ledger is read
// once in a node's life, some of it at a time; whole says that it was.
func (c *ledgers) check(id uint32, head job.Head) (whole bool, err error) {
	if head.Seq > 0 {
		e, ok, err := c.ledger.Entry(id, head.Seq)
		switch {
		case err != nil:
			return false, err
		case ok && e.Hash() != head.Hash:
			c.alarm(id, head.Seq, fmt.Errorf("entry %d has hash %x here, and %x in the shard's log: %w", head.Seq, e.Hash(), head.Hash, ledger.ErrMismatch))
			return false, nil
		case (!ok || e.Signer == "") && c.mismatched()[id] == 0:
			if err := c.ledger.Forget(id, head.Seq); err != nil {
				return false, err
			}
		}
	}
	at := c.audited[id]
	if at == 1 {
		return true, nil
	}
	next, err := c.ledger.Audit(id, at, head.Seq, auditAtOnce)
	if errors.Is(err, ledger.ErrMismatch) {
		c.alarm(id, next, err)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c.audited[id] = max(next, 1)
	return next == 0, nil
}

// unnamedPatience is how long a leader that no entry names waits for another to
// sign the one that does.
const unnamedPatience = 30 * time.Second

// maySign says whether this node's signature under an entry can be followed back
// to the founder: it is the founder, or an earlier entry names it. A node may come
// to lead before the batch that is the first to name it is anchored; its own word
// on that proves nothing, so another has to lead for a moment. When there is none
// for long, as with a dead founder, going on counts for more.
func (c *ledgers) maySign(id uint32, seq uint64) (bool, error) {
	at, named, err := c.ledger.Named(id, c.n.self)
	if err != nil || c.n.self == c.n.net.gen.Founder || named && at < seq {
		delete(c.unnamed, id)
		return err == nil, err
	}
	since, waits := c.unnamed[id]
	if !waits {
		c.unnamed[id] = time.Now()
	}
	return waits && time.Since(since) > unnamedPatience, nil
}

// signer is a voter of a shard whose signature under an entry can be followed back
// to the founder; "" when none is known.
func (c *ledgers) signer(id uint32, seq uint64) string {
	voters := c.n.dir.shard(id).Voters
	if slices.Contains(voters, c.n.net.gen.Founder) {
		return c.n.net.gen.Founder
	}
	for _, p := range voters {
		if at, ok, err := c.ledger.Named(id, p); err == nil && ok && at < seq && p != c.n.self {
			return p
		}
	}
	return ""
}

// giveAwayEvery bounds how often a leadership is given away for a ledger that
// does not fit or a signature that proves nothing, should all voters' be so.
const (
	giveAwayEvery  = time.Minute
	namedSoonEvery = 5 * time.Second // for want of a name: the founder signs at once
)

// giveAway lets another voter lead a shard of which this node's ledger is wrong, or
// does not name it: it could anchor nothing. Rather to best than to another.
func (c *ledgers) giveAway(id uint32, best string, every time.Duration) {
	if time.Since(c.gaveAway[id]) >= every {
		c.gaveAway[id] = time.Now()
		c.n.engine.offer(input{shard: id, event: shard.HandOver{Best: best}})
	}
}

// wrong lists the shards of whose ledgers this node has seen mismatches.
func (c *ledgers) wrong() []int {
	out := []int{}
	for id := range c.mismatched() { // any order: sorted below
		out = append(out, int(id))
	}
	slices.Sort(out)
	return out
}
