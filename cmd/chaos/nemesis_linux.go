package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/ciro-network/ciro/node/api"
)

// nemesis makes the planned faults and heals them.
type nemesis struct {
	members []*member
	web     *web // nil: signals alone
	load    *load
	watch   *tracker
	injured *injuries
	out     io.Writer
	began   time.Time
	hit     map[*member]bool // by a fault of its link that lasts
	catchUp []time.Duration  // after partitions, until all was as before on every node
}

// heal ends a fault.
type heal func(ctx context.Context) error

// notNow says that a fault must wait for better times.
var notNow = errors.New("not now")

func (n *nemesis) say(format string, args ...any) {
	fmt.Fprintf(n.out, "%6.1fs  %s\n", time.Since(n.began).Seconds(), fmt.Sprintf(format, args...))
}

// run makes faults until ctx ends and every kind has come.
func (n *nemesis) run(ctx, limit context.Context, p *Planner) error {
	for ctx.Err() == nil || p.Pending() {
		if limit.Err() != nil {
			return nil // the report says what did not come
		}
		s := p.Next()
		clean := n.settled(limit, 25*time.Second) == nil
		err := n.one(limit, s, clean)
		switch {
		case errors.Is(err, notNow):
			p.Later(s.Kind)
			sleep(limit, time.Second)
		case err != nil && limit.Err() == nil:
			return fmt.Errorf("make %s: %w", s.Kind, err)
		}
	}
	return nil
}

// one makes a fault, another in its middle if so planned, and heals both.
func (n *nemesis) one(ctx context.Context, s Step, clean bool) error {
	end, err := n.inject(ctx, s, clean && s.With == nil)
	if err != nil {
		return err
	}
	var extra heal
	if s.With != nil {
		sleep(ctx, s.Lasts/3)
		if extra, err = n.inject(ctx, *s.With, false); err != nil && !errors.Is(err, notNow) {
			return errors.Join(err, end(ctx))
		}
	}
	sleep(ctx, s.Lasts)
	err = end(ctx)
	if extra != nil {
		err = errors.Join(err, extra(ctx))
	}
	healed := time.Now()
	n.hit = nil
	n.load.answers.side(nil)
	if err != nil || s.Kind != Halves && s.Kind != LinkDown && s.Kind != OneWay {
		return err
	}
	return n.awaitCatchUp(ctx, healed)
}

// inject begins a fault.
func (n *nemesis) inject(ctx context.Context, s Step, clean bool) (heal, error) {
	pick := n.running(s.Prefer)
	if len(pick) < len(n.members)-1 {
		return nil, notNow // a majority of every group must be left
	}
	pick = slices.DeleteFunc(pick, func(m *member) bool { return n.hit[m] })
	if s.Kind == LinkDown || s.Kind == OneWay || s.Kind == Delay {
		n.hit = map[*member]bool{pick[0]: true}
	}
	switch s.Kind {
	case KillCoordinator, KillWorker:
		return n.kill(ctx, s, pick, clean)
	case Pause:
		return n.pause(s, pick[0])
	case LostDisk:
		if !clean {
			return nil, notNow
		}
		return n.loseDisk(ctx, s, pick)
	case Halves:
		return n.halves(pick)
	case LinkDown:
		return n.linkDown(pick[0])
	case OneWay:
		return n.oneWay(pick[0])
	case Loss:
		return n.loss(s)
	case Delay:
		return n.delay(s, pick[0])
	}
	return nil, fmt.Errorf("there is no such fault")
}

// running are the nodes that run, in the order of a list of indexes.
func (n *nemesis) running(order []int) (out []*member) {
	for _, i := range order {
		if n.members[i].runs() {
			out = append(out, n.members[i])
		}
	}
	return out
}

// leads says which shards each node leads, as the first node that answers has it.
func (n *nemesis) leads(ctx context.Context) map[string][]int {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	for _, m := range n.members {
		list, err := m.client.Shards(ctx)
		if err != nil {
			continue
		}
		out := map[string][]int{}
		for _, s := range list.Shards {
			out[s.Leader] = append(out[s.Leader], s.ID)
		}
		return out
	}
	return nil
}

// kill ends a coordinator or a worker in the middle of its work.
func (n *nemesis) kill(ctx context.Context, s Step, pick []*member, clean bool) (heal, error) {
	leads := n.leads(ctx)
	for range 50 {
		tasks := n.watch.standing()
		for _, m := range pick {
			peer, _ := m.id()
			if s.Kind == KillCoordinator && len(leads[peer]) == 0 || s.Kind == KillWorker && (tasks[peer] == 0 || tasks[peer] < most(tasks)) {
				continue
			}
			at := time.Now()
			if err := m.kill(); err != nil {
				return nil, err
			}
			had := n.watch.killed(peer, leads[peer], at, clean)
			n.injured.note(s.Kind, int64(had+len(leads[peer])))
			n.say("%s: SIGKILL of %s, which led shards %v and had %d tasks", s.Kind, m.name, leads[peer], had)
			probing := n.probe(ctx)
			return func(ctx context.Context) error {
				probing.Wait()
				return n.restart(ctx, m, "")
			}, nil
		}
		sleep(ctx, 100*time.Millisecond)
	}
	return nil, notNow
}

// probe submits small jobs in quick order until every shard whose coordinator
// was killed has accepted one.
func (n *nemesis) probe(ctx context.Context) *sync.WaitGroup {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	var all sync.WaitGroup
	all.Go(func() {
		defer cancel()
		for len(n.watch.leaderless()) > 0 && sleep(ctx, 20*time.Millisecond) {
		}
	})
	for i := range 6 {
		all.Go(func() {
			for sleep(ctx, 80*time.Millisecond) {
				if m := n.members[(i+int(n.load.n.Load()))%len(n.members)]; m.runs() {
					n.load.submit(ctx, m, tiny)
				}
			}
		})
	}
	return &all
}

// most is the greatest number of tasks that a worker has.
func most(tasks map[string]int) (n int) {
	for _, t := range tasks { // any order: the greatest
		n = max(n, t)
	}
	return n
}

func (n *nemesis) restart(ctx context.Context, m *member, join string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := m.start(ctx, join); err != nil {
		return err
	}
	n.say("%s runs again", m.name)
	return nil
}

func (n *nemesis) pause(s Step, m *member) (heal, error) {
	if err := m.pause(true); err != nil {
		return nil, err
	}
	n.say("%s: SIGSTOP of %s for %v", s.Kind, m.name, s.Lasts)
	return func(ctx context.Context) error {
		if m.stopped() {
			n.injured.note(s.Kind, s.Lasts.Milliseconds())
		}
		n.say("%s goes on", m.name)
		return m.pause(false)
	}, nil
}

// loseDisk kills a node and removes its data directory: with Amount 0 all of it,
// so that it comes back as somebody else, with 1 all but its key, so that it
// comes back as one who has forgotten everything.
func (n *nemesis) loseDisk(ctx context.Context, s Step, pick []*member) (heal, error) {
	leads := n.leads(ctx)
	votes := map[string]int{}
	for _, m := range pick {
		if status, err := m.client.Status(ctx); err == nil {
			votes[m.name] = len(status.Votes)
		}
	}
	// Of a node without a replica there is nothing to lose.
	m := slices.MaxFunc(pick, func(a, b *member) int { return min(votes[a.name], 1) - min(votes[b.name], 1) })
	peer, _ := m.id()
	if err := m.kill(); err != nil {
		return nil, err
	}
	n.watch.killed(peer, leads[peer], time.Now(), false)
	bytes, err := m.wipe(s.Amount == 1)
	if err != nil {
		return nil, err
	}
	n.injured.note(s.Kind, bytes)
	n.say("%s: %s killed and its data directory removed: %d replicas, %d KiB, its key %s", s.Kind, m.name, votes[m.name], bytes>>10,
		map[int]string{0: "too", 1: "kept"}[s.Amount])
	return func(ctx context.Context) error {
		for _, o := range n.members {
			if o != m && o.runs() {
				return n.restart(ctx, m, o.joinAddress())
			}
		}
		return errors.New("nobody is left to join")
	}, nil
}

// settled waits until every node says that all shards are fully replicated.
func (n *nemesis) settled(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		var last string
		ok := !slices.ContainsFunc(n.members, func(m *member) bool {
			h, err := m.client.Health(ctx)
			if err != nil || !h.FullyReplicated {
				last = fmt.Sprintf("%s: %v %+v", m.name, err, h.Checks)
				return true
			}
			return false
		})
		if ok {
			return nil
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return fmt.Errorf("not fully replicated after %v: %s", limit, last)
		}
	}
}

// awaitCatchUp waits until every node knows a coordinator for every shard and
// takes a job, and notes how long that took.
func (n *nemesis) awaitCatchUp(ctx context.Context, healed time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for _, m := range n.members {
		all.Go(func() {
			for ctx.Err() == nil {
				list, err := m.client.Shards(ctx)
				lost := slices.ContainsFunc(list.Shards, func(s api.Shard) bool { return s.Leader == "" })
				if err == nil && !lost && len(list.Unanswered) == 0 {
					break
				}
				sleep(ctx, 50*time.Millisecond)
			}
			n.load.submit(ctx, m, tiny)
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return errors.New("a minute after the partition was healed some node did not know every coordinator or could not submit")
	}
	n.catchUp = append(n.catchUp, time.Since(healed))
	return nil
}
