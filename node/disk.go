package node

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/jobspec"
	"github.com/ciro-network/ciro/p2p/blobs"
	"github.com/ciro-network/ciro/scheduler/worker"
)

const (
	// diskLast is the part of the reserve at which the node stops: what is left
	// is for a clean end, and for whatever else writes there meanwhile.
	diskLast = 8
	// endTimeout bounds the end of a node whose disk is full. A database that
	// waits for room may never return.
	endTimeout = 10 * time.Second
)

// disk watches how much room the data directory's file system has. Content and
// tasks leave the reserve alone, since a Raft log that cannot be written ends
// the process: below the reserve the node takes neither and gives the shards that
// it leads to others, and below an eighth of it, it hands over and stops while it still can. A reserve of 0 watches nothing.
type disk struct {
	dir     string
	reserve uint64
	free    func(dir string) (uint64, error)
	isLow   atomic.Bool
	told    atomic.Bool // isLow as worker, peers and replicas know it
	hurry   *time.Timer // ends a node whose end hangs; nil until it ends
}

// DiskFullError says that a node cannot start or go on for want of room.
type DiskFullError struct {
	Dir                 string
	Free, Last, Reserve uint64 // bytes: there are, to start with, to take work with
}

// Error names the next step.
func (e *DiskFullError) Error() string {
	return fmt.Sprintf("the disk of %s is full: %s are free, and a node needs %s to keep its log (and %s to take work); free some space and start it again, nothing in the directory is lost",
		e.Dir, jobspec.ShowSize(e.Free), jobspec.ShowSize(e.Last), jobspec.ShowSize(e.Reserve))
}

// full returns a DiskFullError when the node cannot go on.
func (d *disk) full() error {
	free, err := d.free(d.dir)
	if last := d.reserve / diskLast; err == nil && free < last {
		return &DiskFullError{Dir: d.dir, Free: free, Last: last, Reserve: d.reserve}
	}
	return nil // who cannot tell how much there is goes on until a write fails
}

// room says whether n bytes of content may be written.
func (d *disk) room(n int64) error {
	if free, err := d.free(d.dir); d.reserve > 0 && err == nil && free < d.reserve+uint64(n) {
		return fmt.Errorf("%w: its disk has %s free, of which storage.disk_reserve keeps %s", blobs.ErrFull, jobspec.ShowSize(free), jobspec.ShowSize(d.reserve))
	}
	return nil
}

// offered is the room that tasks may have when nothing else was said: half of
// what is free beyond the reserve.
func (d *disk) offered() uint64 {
	free, err := d.free(d.dir)
	if err != nil {
		return fallbackBytes
	}
	return (free - min(free, d.reserve)) / 2
}

// look finds out whether there is less than the reserve. Once low, it takes a
// quarter more than the reserve to be well again.
func (d *disk) look() {
	if free, err := d.free(d.dir); err == nil {
		d.isLow.Store(free < d.reserve || d.isLow.Load() && free < d.reserve/4*5)
	}
}

// check is what /health says.
func (d *disk) check() api.Check {
	free, err := d.free(d.dir)
	c := api.Check{Name: "disk", OK: err == nil && !d.isLow.Load(), Detail: jobspec.ShowSize(free) + " are free"}
	if err != nil {
		c.Detail = err.Error()
	} else if !c.OK {
		c.Detail = fmt.Sprintf("LOW ON DISK: %s of %s are free; below %s this node takes no content and no tasks, below %s it stops: free some space",
			jobspec.ShowSize(free), d.dir, jobspec.ShowSize(d.reserve), jobspec.ShowSize(d.reserve/diskLast))
	}
	return c
}

// watchDisk drains the worker while room is short. When there is none, it hands
// over and returns a DiskFullError.
func (n *Node) watchDisk(ctx context.Context) error {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		n.disk.look()
		if err := n.disk.full(); err != nil {
			n.log.Error("stopping while there is room for it", "error", err)
			n.disk.hurry = time.AfterFunc(endTimeout, func() { n.parts.Fail(err) })
			n.leave(ctx, 0)
			return err
		}
		if n.disk.isLow.Load() != n.disk.told.Load() {
			n.background(n.adaptToDisk) // not here: an engine whose disk is full may not answer
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// adaptToDisk tells people, worker, peers and replicas whether the disk is low.
func (n *Node) adaptToDisk(ctx context.Context) {
	low := n.disk.isLow.Load()
	if n.disk.told.Swap(low) == low {
		return // another has been quicker
	}
	if low {
		n.log.Warn("low on disk", "detail", n.disk.check().Detail)
	} else {
		n.log.Info("there is room on the disk again", "detail", n.disk.check().Detail)
	}
	n.greetAll()
	if n.runner != nil && n.drain(ctx) == nil {
		n.readvertise()
	}
	if low {
		ctx, done := context.WithTimeout(ctx, handOverTimeout)
		defer done()
		n.handOver(ctx)
	}
}

// ended says that the node has ended by itself.
func (d *disk) ended() {
	if d.hurry != nil {
		d.hurry.Stop()
	}
}

// drain tells the worker whether to take tasks: not when its operator, the end
// of the node or the disk is against it.
func (n *Node) drain(ctx context.Context) error {
	return n.engine.query(ctx, func(e *engine) { e.stepWorker(worker.Drain{On: n.drains()}) })
}

func (n *Node) drains() bool {
	return n.operatorDrains.Load() || n.stopping.Load() || n.disk.isLow.Load()
}
