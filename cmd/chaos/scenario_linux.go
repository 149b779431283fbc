package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ciro-network/ciro/node/api"
)

// scenario is a run from the first start to the last answer.
func (n *nemesis) scenario(ctx context.Context, o options, kinds []Kind) error {
	if err := n.found(ctx); err != nil {
		return err
	}
	if err := n.load.upload(ctx); err != nil {
		return err
	}
	length := time.Duration(o.minutes * float64(time.Minute))
	faults, end := context.WithTimeout(ctx, length)
	defer end()
	// Kinds that could not come in time get a little more of it.
	limit, endLimit := context.WithTimeout(ctx, length+2*time.Minute)
	defer endLimit()
	busy, endLoad := context.WithCancel(ctx)
	defer endLoad()
	watching, endWatch := context.WithCancel(ctx)
	defer endWatch()
	var watchers, clients sync.WaitGroup
	for _, m := range n.members {
		watchers.Go(func() { n.load.observe(watching, m) })
	}
	late, endLate := context.WithCancel(ctx)
	defer endLate()
	clients.Go(func() { n.load.run(busy, late, o.seed) })
	err := n.run(faults, limit, NewPlanner(o.seed, len(n.members), kinds))
	n.say("no more faults")
	if err == nil {
		err = n.settled(ctx, 2*time.Minute)
	}
	if err == nil {
		n.say("/health is complete on every node")
	}
	endLoad()
	patience := time.AfterFunc(time.Minute, endLate)
	clients.Wait()
	patience.Stop()
	if err == nil {
		err = n.collect(ctx)
	}
	endWatch()
	watchers.Wait()
	return err
}

// found starts the founder and the others, which join it.
func (n *nemesis) found(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	join := ""
	for _, m := range n.members {
		if err := m.start(ctx, join); err != nil {
			return err
		}
		join = n.members[0].joinAddress()
	}
	if err := n.settled(ctx, time.Minute); err != nil {
		return err
	}
	n.say("%d nodes run, all shards are fully replicated", len(n.members))
	return nil
}

// collect waits for the end of every accepted job and asks for everything that
// is known of it, through nodes in turn.
func (n *nemesis) collect(ctx context.Context) error {
	h := n.load.h
	lives := map[string]int{}
	for _, m := range n.members {
		_, lives[m.name] = m.id()
	}
	n.say("checking %d acceptances", len(h.Accepted))
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	var next atomic.Int64
	for range 8 {
		all.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(h.Accepted); i = next.Add(1) - 1 {
				n.collectOne(ctx, h.Accepted[i], n.members[int(i)%len(n.members)])
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return errors.New("not every acceptance could be checked in time")
	}
	return nil
}

// collectOne gathers what is known of one accepted job.
func (n *nemesis) collectOne(ctx context.Context, a Accepted, m *member) {
	h := n.load.h
	// A job that nobody knows, or that never ends, is for the checker to find.
	patient, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	_ = m.client.Watch(patient, api.WatchQuery{Job: a.Acc.Job}, func(e api.Event) error {
		h.seen("watch through "+m.name, e)
		return nil
	})
	until(ctx, func() bool {
		j, err := m.client.Describe(ctx, a.Acc.Job, false)
		if err == nil {
			h.final(j)
		}
		return err == nil || !unknown(err)
	})
	door := n.members[slices.IndexFunc(n.members, func(m *member) bool { return m.name == a.Door })]
	if _, life := door.id(); life != a.Life {
		h.again(a.Key, nil)
		return
	}
	shape := shapes[slices.IndexFunc(shapes, func(s shape) bool { return strings.HasPrefix(a.Key, s.name+"-") })]
	until(ctx, func() bool {
		acc, err := n.load.once(ctx, door, shape, a.Key)
		if err == nil {
			h.again(a.Key, &Accepted{Key: a.Key, Door: a.Door, Acc: acc})
		} else if !unknown(err) {
			h.wrong(fmt.Sprintf("job %s: the same submission again was refused: %v", a.Acc.Job, err))
		}
		return err == nil || !unknown(err)
	})
}

// until repeats f until it says that it is done or ctx ends.
func until(ctx context.Context, f func() bool) {
	for !f() && sleep(ctx, 200*time.Millisecond) {
	}
}

// stop ends all processes cleanly.
func (n *nemesis) stop() error {
	var mu sync.Mutex
	var errs []error
	var all sync.WaitGroup
	for _, m := range n.members {
		all.Go(func() {
			if !m.runs() {
				_ = m.kill() // paused or gone
				return
			}
			if err := m.stop(30 * time.Second); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// verdict stops the nodes, reads the history, and says what was wrong.
func (n *nemesis) verdict(err error, wrong []string) error {
	if err != nil {
		wrong = append(wrong, err.Error())
	}
	if err := n.stop(); err != nil {
		wrong = append(wrong, err.Error())
	}
	for _, m := range n.members {
		wrong = append(wrong, m.complaints()...)
	}
	h := n.load.h
	found := h.Wrong
	if err == nil { // else not everything was asked for at the end
		found = Check(h)
	}
	states, attempts, sleeping := map[string]int{}, 0, 0
	for _, j := range h.Final { // any order: counted
		states[j.State]++
		for _, t := range j.Tasks {
			attempts += t.Attempt
			sleeping++
		}
	}
	fmt.Fprintf(n.out, "%d acceptances: %d completed, %d failed, %d cancelled; %d tasks took %d attempts; %d sightings of events\n",
		len(h.Accepted), states[api.JobCompleted], states[api.JobFailed], states[api.JobCancelled], sleeping, attempts, len(h.Seen))
	if len(h.Accepted) == 0 {
		wrong = append(wrong, "nothing was ever accepted")
	}
	wrong = append(wrong, found...)
	if len(wrong) > 0 {
		return fmt.Errorf("%d findings:\n  %s", len(wrong), strings.Join(wrong[:min(len(wrong), 40)], "\n  "))
	}
	fmt.Fprintf(n.out, "every acceptance was kept\n")
	return nil
}
