package sim

import (
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/shard"
)

// host is the shell around one replica. While a Persist is being synced the
// replica is not stepped, and the actions behind it wait.
type host struct {
	n        *node
	shard    uint32
	rep      *shard.Replica
	syncing  bool
	unsynced []shard.Persist
	inbox    []shard.Event
	led      shard.Led
	ledAt    time.Duration
	scanned  uint64 // index at which its state was last compared
	tickAt   time.Duration
	commit   uint64                   // as told to the oracle
	seen     map[uint64][]byte        // entries beyond commit, as the replica believes them stored
	skewed   bool                     // its node has told it that the wall clock is wrong
	heard    map[string]time.Duration // attached workers, on the node's clock
	stepped  time.Duration            // last, on the node's clock
	gapEnd   time.Duration            // end of the last time in which it did not listen

	anchoring bool // a batch is on its way to the anchor
}

// maxInbox bounds what waits for a replica.
const maxInbox = 8192

// open makes the replica of a shard from what is on disk.
func (n *node) open(s uint32) {
	w, d := n.w, &n.disk.shards[s]
	cfg := shard.Config{Shard: s, Network: w.network, ID: d.id, Self: n.name, Params: w.cfg.params()}
	d.log.fill(&cfg)
	rep, err := shard.New(cfg, n.moment())
	if err != nil {
		w.violate("restart", "%s shard %d: %v", n.name, s, err)
		return
	}
	if w.cfg.Mutation == SnapshotLoses {
		loseCommand(rep.State())
	}
	if held := w.oracle.shards[s].holds[d.id]; held > d.log.index+uint64(len(d.log.entries)) {
		w.violate("identity", "%s shard %d comes back as replica %d without the committed entry %d, which that had stored", n.name, s, d.id, held)
	}
	h := &host{n: n, shard: s, rep: rep, seen: map[uint64][]byte{}, commit: max(commit(d.log.hard), d.log.index),
		heard: map[string]time.Duration{}, stepped: n.mono()}
	w.oracle.shards[s].logs[d.id] = d.log
	for i, e := range d.log.entries {
		if at := d.log.index + 1 + uint64(i); at > h.commit {
			h.seen[at] = e
		}
	}
	n.hosts[s], n.voted = h, true
	if !slices.Contains(w.members[s], n) {
		w.members[s] = append(w.members[s], n)
	}
	h.step(shard.Tick{})
}

// close stops a replica for good: no id up to tomb is held again.
func (n *node) close(s uint32, tomb uint64) {
	d := &n.disk.shards[s]
	d.tomb, d.id, d.incarnation, d.log = max(d.tomb, tomb), 0, 0, nil
	n.hosts[s] = nil
	n.w.members[s] = slices.DeleteFunc(n.w.members[s], func(m *node) bool { return m == n })
}

// alive says whether the host is still the one of its node and shard.
func (h *host) alive() bool { return h.n.up && h.n.hosts[h.shard] == h }

func (h *host) step(ev shard.Event) {
	if !h.alive() {
		return
	}
	if h.syncing {
		if len(h.inbox) < maxInbox { // as a node's queue, which is bounded
			h.inbox = append(h.inbox, ev)
		} else {
			h.n.w.effect("dropped from full queues")
		}
		return
	}
	w := h.n.w
	w.report.Steps++
	now := h.n.moment()
	if now.Mono-h.stepped > time.Second {
		h.gapEnd = now.Mono
		if w.cfg.Mutation == LeaseAfterPause {
			if h.catchUp(now); !h.alive() {
				return
			}
		}
	}
	if h.syncing {
		h.inbox = append(h.inbox, ev)
		return
	}
	h.stepped = now.Mono
	acts := slices.Clone(h.rep.Step(now, h.judged(ev)))
	if heard, ok := ev.(shard.Heard); ok {
		if w.cfg.Mutation == StaleLeaderAssigns {
			w.deposed(h, heard)
		}
		w.oracle.heard(h, heard)
	}
	w.oracle.dropped(h) // after every step: a tick comes with whatever event is late enough
	if w.cfg.Mutation == PersistBeforeSend {
		h.performUnsynced(acts)
	} else {
		h.perform(acts)
	}
	h.wake()
}

// perform performs actions up to the first Persist, then waits for the sync of
// all of them: one batch, one sync.
func (h *host) perform(acts []shard.Action) {
	h.keepBatches(acts)
	for i, a := range acts {
		if _, ok := a.(shard.Persist); ok {
			h.sync(acts[i:])
			return
		}
		h.act(a)
	}
}

func (h *host) sync(acts []shard.Action) {
	w := h.n.w
	if h.n.full {
		h.n.starve()
		return
	}
	h.syncing = true
	for _, a := range acts {
		if p, ok := a.(shard.Persist); ok {
			h.unsynced = append(h.unsynced, p)
		}
	}
	took := w.between(200*time.Microsecond, 3*time.Millisecond)
	if w.chance(0.01) {
		took = w.between(3*time.Millisecond, 50*time.Millisecond)
	}
	if h.n.slow > 0 {
		took = w.between(h.n.slow/2, h.n.slow*3/2)
		w.effect("slow syncs")
	}
	w.soon(h.n, took, func() {
		if !h.alive() {
			return
		}
		if h.n.full {
			h.n.starve()
			return
		}
		for _, p := range h.unsynced {
			h.store(p)
		}
		h.unsynced, h.syncing = nil, false
		for _, a := range acts {
			h.act(a)
		}
		h.drain()
	})
}

// drain steps what came while the disk was busy.
func (h *host) drain() {
	events := h.inbox
	h.inbox = nil
	for i, ev := range events {
		if h.syncing {
			h.inbox = append(slices.Clone(events[i:]), h.inbox...)
			return
		}
		h.step(ev)
	}
	h.wake()
}

// performUnsynced is the planted bug persistBeforeSend: everything leaves at
// once and the disk follows.
func (h *host) performUnsynced(acts []shard.Action) {
	h.keepBatches(acts)
	w := h.n.w
	synced := 0
	for _, a := range acts {
		if p, ok := a.(shard.Persist); ok {
			h.unsynced = append(h.unsynced, p)
			synced++
		}
		h.act(a)
	}
	if synced > 0 {
		w.soon(h.n, 150*time.Millisecond, func() {
			if !h.alive() {
				return
			}
			for _, p := range h.unsynced[:synced] {
				h.store(p)
			}
			h.unsynced = h.unsynced[synced:]
		})
	}
}

// wake schedules the next tick.
func (h *host) wake() {
	w := h.n.w
	if !h.alive() || h.syncing {
		return
	}
	at := max(h.n.when(h.rep.Wake()), w.now+100*time.Microsecond)
	if h.tickAt > w.now && h.tickAt <= at {
		return
	}
	h.tickAt = at
	w.soon(h.n, at-w.now, func() {
		if h.tickAt == at {
			h.tickAt = 0
			h.step(shard.Tick{})
		}
	})
}

// act performs one action.
func (h *host) act(a shard.Action) {
	w := h.n.w
	if !h.alive() {
		return
	}
	switch a := a.(type) {
	case shard.Persist:
		w.oracle.persisted(h, a)
	case shard.Send:
		w.raft(h, a)
	case shard.Work:
		w.toWorker(h, a)
	case shard.Reply:
		w.client.replied(h, a)
	case shard.Applied:
		w.tamper(h.rep.State(), a.Events)
		w.oracle.applied(h, a)
	case shard.Led:
		w.oracle.led(h, a)
		if a.Term != h.led.Term {
			clear(h.heard)
		}
		h.led, h.ledAt = a, w.now
		w.note("led", h.n.index, int(a.Term), []byte(a.Leader))
		w.printf("%s shard %d replica %d sees term %d leader %q mine %v voters %v learners %v",
			h.n.name, h.shard, h.rep.ID(), a.Term, a.Leader, a.Mine, a.Voters, a.Learners)
		if a.Mine {
			h.n.report()
			h.anchor()
		}
	case shard.Cut:
		w.oracle.handed(h, a.Batch)
		h.anchor()
	case shard.Broken:
		w.violate("broken", "%s shard %d: replica %d stopped: %s", h.n.name, h.shard, h.rep.ID(), a.Why)
	case shard.Outdated:
		w.violate("outdated", "%s shard %d: replica %d has entries up to %d and had acknowledged %d", h.n.name, h.shard, h.rep.ID(), a.Last, a.Known)
	case shard.Removed:
		w.printf("%s shard %d: replica %d is removed", h.n.name, h.shard, h.rep.ID())
		h.n.close(h.shard, h.rep.ID())
	default:
		w.group(h, a)
	}
}
