package wasm

import "sync"

// maxDying bounds the children that are dead and not yet reaped.
const maxDying = 64

// graves reaps dead children in the background while somebody digs: taking a
// process apart costs the kernel a millisecond, for which a result need not wait.
type graves struct {
	mu    sync.Mutex
	queue chan *process // nil: nobody digs
}

// dig starts to reap; the function that it returns reaps what is left and stops.
func (g *graves) dig() (stop func()) {
	queue := make(chan *process, maxDying)
	g.set(queue)
	var digger sync.WaitGroup
	digger.Go(func() {
		for p := range queue {
			p.wait()
		}
	})
	return func() {
		g.set(nil) // from here on nobody sends
		close(queue)
		digger.Wait()
	}
}

func (g *graves) set(queue chan *process) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue = queue
}

// bury kills a child and sees to it that it is reaped, by itself if need be.
func (g *graves) bury(p *process) {
	p.kill()
	if !g.leave(p) {
		p.wait()
	}
}

func (g *graves) leave(p *process) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case g.queue <- p:
		return true
	default: // full, or nobody digs
		return false
	}
}
