package node

import (
	"context"
	"sync"
	"time"

	"github.com/ciro-network/ciro/node/meshpb"
)

// Times in which a coordinator says that it is working on a request: not before
// most are done, then again and again.
const (
	workingFirst = 250 * time.Millisecond
	workingEvery = time.Second
)

// working does what may take a while, since inputs may have to be fetched for it,
// and gives its reply. Meanwhile it says again and again that this node is at it,
// each time after a majority has confirmed that it leads the shard: the asking
// node's patience must not outlast the majority (G7).
func (n *Node) working(ctx context.Context, on uint32, each func(*meshpb.JobReply) error, do func(context.Context) *meshpb.JobReply) error {
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	result, confirmed := make(chan *meshpb.JobReply, 1), make(chan bool, 1)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() { result <- do(ctx) })
	say := time.NewTimer(workingFirst)
	defer say.Stop()
	for {
		select {
		case r := <-result:
			return each(r)
		case <-say.C:
			all.Go(func() { confirmed <- n.readable(ctx, on) == nil })
		case yes := <-confirmed:
			say.Reset(workingEvery)
			if !yes {
				continue
			}
			if err := each(&meshpb.JobReply{Code: codeWorking}); err != nil {
				return err
			}
		}
	}
}
