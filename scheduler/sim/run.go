package sim

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
)

// alone guards rand.Reader, which is the process's: one simulation at a time.
var alone sync.Mutex

// Run plays one simulation and returns what it measured. The error is a
// *Violation when a promise was broken, otherwise it says what is wrong with the
// configuration.
//
// raft draws its election jitter from crypto/rand.Reader. Run replaces that
// variable by a stream that the seed determines for as long as it lasts, and
// runs one simulation per process at a time. So a process that runs simulations
// must not do anything else that needs secret randomness: this is for `ciro sim`
// and tests, never for a daemon.
func Run(cfg Config) (Report, error) { return Replay(cfg, nil) }

// Replay is Run with a readable trace of what happened.
func Replay(cfg Config, trace io.Writer) (report Report, err error) {
	if err := cfg.Validate(); err != nil {
		return Report{}, fmt.Errorf("simulation: %w", err)
	}
	alone.Lock()
	defer alone.Unlock()
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], cfg.Seed)
	copy(key[8:], "ciro simulation")
	old := rand.Reader
	rand.Reader = mathrand.NewChaCha8(key)
	defer func() { rand.Reader = old }()
	// Most of what a large world keeps lives as long as it: collect rarely, as long as memory is plenty.
	percent, limit := debug.SetGCPercent(800), debug.SetMemoryLimit(memoryLimit)
	defer func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(limit) }()

	cfg = cfg.withDefaults()
	if cfg.Script == nil {
		cfg.Script = Plan(cfg)
	}
	w := newWorld(cfg, trace)
	defer func() {
		if p := recover(); p != nil {
			w.violate("panic", "%v, in %s", p, frames(debug.Stack()))
			report, err = w.report, w.failed
		}
	}()
	w.run()
	if w.failed != nil {
		return w.report, w.failed
	}
	return w.report, nil
}

// memoryLimit is where the heap is collected more often again.
const memoryLimit = 5 << 30

// frames returns the names of the functions of this module on a stack, the
// innermost first.
func frames(stack []byte) string {
	const module = "github.com/ciro-network/ciro/"
	var out []string
	for line := range strings.Lines(string(stack)) {
		name, ours := strings.CutPrefix(line, module)
		if end := strings.LastIndex(name, "("); ours && end > 0 && len(out) < 8 {
			out = append(out, name[:end])
		}
	}
	return strings.Join(out, " < ")
}
