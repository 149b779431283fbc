package worker

import (
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/work"
)

// leader takes news of who leads a shard.
func (w *Worker) leader(ev Leader) {
	s := w.shard(ev.Shard)
	if s == nil || ev.Term != 0 && ev.Term < s.term || ev.Peer == s.peer && max(ev.Term, s.term) == s.term {
		return
	}
	s.peer, s.term = ev.Peer, max(ev.Term, s.term)
	w.attach(s)
}

// attach makes speak say everything that a new leader must know.
func (w *Worker) attach(s *shard) {
	s.beatAt, s.attachAt, s.resendAt = w.now, w.now, w.now
	for _, r := range s.kept {
		r.sent = w.now - resendEvery
	}
}

// message takes a leader's word. Others have no say.
func (w *Worker) message(ev Message) {
	s := w.shard(ev.Shard)
	if s == nil {
		return
	}
	if s.peer == "" {
		s.peer = ev.From
		w.attach(s)
		w.beat(s) // before any answer: it must know whose answer that is
	}
	if s.peer != ev.From {
		return
	}
	switch m := ev.Msg.(type) {
	case work.Book:
		w.book(s, m)
	case work.Assign:
		w.assign(s, m)
	case work.Stop:
		w.stop(m)
	case work.Ack:
		if r := w.reports[m.Key]; r != nil {
			w.forget(r)
		}
	case work.Release:
		if i := w.booking(m.Key); i >= 0 {
			w.unbook(i)
			w.freed(s)
		}
	}
}

// beatSoon brings all heartbeats forward.
func (w *Worker) beatSoon(delay time.Duration) {
	w.apartUntil = max(w.apartUntil, w.now+delay)
	for _, s := range w.shards {
		s.beatAt = min(s.beatAt, w.now+delay)
	}
}

// speak sends what is due to each leader: heartbeat or Attach, then reports. What
// is due soon goes along with what is due now, so that a node with many shards
// wakes for all of them at once, unless leaders are being told of a free place in
// turn.
func (w *Worker) speak() {
	soon := w.now
	if w.now >= w.apartUntil && slices.ContainsFunc(w.shards, func(s *shard) bool { return s.peer != "" && s.beatAt <= w.now }) {
		soon += w.cfg.Beat / 4
	}
	for _, s := range w.shards {
		if s.peer == "" {
			continue
		}
		if s.beatAt <= soon {
			w.beat(s)
		}
		if len(s.kept) > 0 && s.resendAt <= w.now {
			w.resend(s)
		}
	}
}

// beat sends a heartbeat, or now and then an Attach with the word on what has
// started, which may have been lost.
func (w *Worker) beat(s *shard) {
	free, slots := w.free()
	held, running := w.held(s)
	if s.attachAt <= w.now {
		s.attachAt = w.now + attachBeats*w.cfg.Beat
		w.send(s, work.Attach{
			Boot: w.cfg.Boot, Capability: w.cfg.Capability, Free: free, FreeSlots: slots, Draining: w.draining, Held: held,
		})
		for _, k := range running {
			w.send(s, work.Started{Key: k})
		}
	} else {
		w.send(s, work.Heartbeat{Boot: w.cfg.Boot, Free: free, FreeSlots: slots, Draining: w.draining, Held: held})
	}
	s.beatAt = w.now + w.cfg.Beat
}

// held names the shard's attempts that run or are reported and not
// acknowledged; running are those that have started.
func (w *Worker) held(s *shard) (held, running []work.Key) {
	for _, a := range w.attempts {
		if a.shard != s.id || a.stopped {
			continue
		}
		held = append(held, a.key)
		if a.started {
			running = append(running, a.key)
		}
	}
	for _, r := range s.kept[:min(len(s.kept), work.MaxHeld-len(held))] {
		held = append(held, r.Key)
	}
	return held, running
}

// resend repeats the reports that have waited long enough, a batch at a time.
func (w *Worker) resend(s *shard) {
	s.resendAt = w.now + resendEvery
	left := resendBatch
	for _, r := range s.kept {
		due := r.sent + resendEvery
		switch {
		case due > w.now:
			s.resendAt = min(s.resendAt, due)
		case left == 0:
			s.resendAt = w.now + resendPause
			return
		default:
			left--
			w.sendReport(s, r)
		}
	}
}

func (w *Worker) sendReport(s *shard, r *report) {
	r.sent = w.now
	w.send(s, r.Report)
}

// keep stores a report, at the cost of the oldest when there are too many, and
// sends it.
func (w *Worker) keep(s *shard, m work.Report) {
	for len(w.reports) >= w.cfg.MaxReports {
		w.forget(w.oldest())
	}
	r := w.file(s, m)
	w.do(Keep{Shard: s.id, Report: m})
	w.sendReport(s, r)
	if len(s.kept) == 1 {
		s.resendAt = w.now + resendEvery
	}
}

func (w *Worker) file(s *shard, m work.Report) *report {
	w.seq++
	r := &report{Report: m, shard: s.id, seq: w.seq, sent: w.now}
	w.reports[m.Key] = r
	s.kept = append(s.kept, r)
	return r
}

func (w *Worker) oldest() *report {
	var old *report
	for _, s := range w.shards {
		if len(s.kept) > 0 && (old == nil || s.kept[0].seq < old.seq) {
			old = s.kept[0]
		}
	}
	return old
}

// forget deletes a report, here and on disk.
func (w *Worker) forget(r *report) {
	s := w.shard(r.shard)
	s.kept = slices.DeleteFunc(s.kept, func(o *report) bool { return o == r })
	delete(w.reports, r.Key)
	w.do(Forget{Key: r.Key})
}
