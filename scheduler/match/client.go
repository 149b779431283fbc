package match

import (
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
)

// reorder is how many of a client's lines follow a change of its share at once.
// A client that waits with more kinds of tasks than this is ordered by a share
// that lags a little, so that no change costs more.
const reorder = 64

// Client is one client key as a shard's leader sees it.
type Client struct {
	Jobs  int // accepted and not ended
	Tasks int // of those jobs

	key       string
	committed job.Resources // booked and assigned
	places    int           // number of those
	share     float64
	lines     []*line // that wait
	turn      int     // the next of lines to follow share
	tokens    float64 // submissions that it may make at once
	filled    time.Duration
	seen      bool // tokens and filled are set
}

// Share returns the client's dominant share: the largest share of any resource
// of the shard's workers that its booked and assigned tasks take up.
func (c *Client) Share() float64 { return c.share }

// Allow takes one submission off the client's allowance, which refills at rate
// per second up to burst; wait says when the next one would be allowed.
func (c *Client) Allow(now time.Duration, rate, burst float64) (wait time.Duration, ok bool) {
	if !c.seen {
		c.seen, c.tokens, c.filled = true, burst, now
	}
	c.tokens = min(burst, c.tokens+(now-c.filled).Seconds()*rate)
	c.filled = now
	if c.tokens < 1 {
		return time.Duration((1 - c.tokens) / rate * float64(time.Second)), false
	}
	c.tokens--
	return 0, true
}

// Client returns the client with a key; it is there from its first use until it
// has been idle for a while (Forget).
func (q *Queue) Client(key string) *Client {
	c := q.clients[key]
	if c == nil {
		c = &Client{key: key}
		q.clients[key] = c
	}
	return c
}

// Clients returns how many clients are known.
func (q *Queue) Clients() int { return len(q.clients) }

// Knows says whether a client is known.
func (q *Queue) Knows(key string) bool { return q.clients[key] != nil }

// Tasks returns how many tasks the jobs have in all that have not ended.
func (q *Queue) Tasks() int { return q.tasks }

// Forget drops the clients that have nothing here and have submitted nothing
// since the given moment.
func (q *Queue) Forget(since time.Duration) {
	// any order: each client alone
	for k, c := range q.clients {
		if c.Jobs == 0 && c.places == 0 && len(c.lines) == 0 && c.filled < since {
			delete(q.clients, k)
		}
	}
}

// Charge adds a booked or assigned task to what its client has taken up.
func (q *Queue) Charge(c *Client, need job.Resources) {
	c.committed = c.committed.Add(need)
	c.places++
	q.reshare(c)
}

// Discharge takes back what Charge added.
func (q *Queue) Discharge(c *Client, need job.Resources) {
	c.committed = c.committed.Sub(need)
	c.places = max(0, c.places-1)
	q.reshare(c)
}

// Measure sets what the shard's workers have in all. Shares are only taken anew
// once that has changed by an eighth, since all clients are measured alike.
func (q *Queue) Measure(total job.Resources, places int) {
	if close8(uint64(q.total.CPU), uint64(total.CPU)) && close8(q.total.Memory, total.Memory) && close8(q.total.Disk, total.Disk) &&
		close8(uint64(q.total.GPUs), uint64(total.GPUs)) && close8(uint64(q.places), uint64(places)) {
		return
	}
	q.total, q.places = total, places
	// any order: the order of the lines does not depend on the order of changes
	for _, c := range q.clients {
		c.share = q.shareOf(c)
		for _, l := range c.lines {
			q.follow(l)
		}
	}
}

func close8(old, now uint64) bool { return max(old, now)-min(old, now) <= old/8 }

func (q *Queue) shareOf(c *Client) float64 {
	v := max(
		portion(uint64(c.committed.CPU), uint64(q.total.CPU)),
		portion(c.committed.Memory, q.total.Memory),
		portion(c.committed.Disk, q.total.Disk))
	return max(v, portion(uint64(c.committed.GPUs), uint64(q.total.GPUs)), portion(uint64(c.places), uint64(q.places)))
}

// portion is the part of a whole that is taken; of a whole that nobody has, it
// is nothing.
func portion(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// reshare takes a client's share anew and lets its lines follow.
func (q *Queue) reshare(c *Client) {
	c.share = q.shareOf(c)
	for range min(len(c.lines), reorder) {
		c.turn = (c.turn + 1) % len(c.lines)
		q.follow(c.lines[c.turn])
	}
}

// follow moves a line to where its client's share puts it.
func (q *Queue) follow(l *line) {
	if l.share == l.client.share {
		return
	}
	l.share = l.client.share
	h := &l.shape.levels[l.level]
	h.fix(l.at)
	q.refresh(l.shape)
}
