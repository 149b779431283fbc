package wasm

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math"
	mrand "math/rand/v2"
	"time"

	"github.com/tetratelabs/wazero"
)

// tick is how far a deterministic clock moves when the guest looks at it: time
// must pass for a guest that waits in a loop.
const tick = time.Microsecond

// senses configures how a guest perceives time and chance.
func senses(cfg wazero.ModuleConfig, req request) wazero.ModuleConfig {
	if !req.Deterministic {
		return cfg.WithSysWalltime().WithSysNanotime().WithNanosleep(sleep).WithRandSource(rand.Reader)
	}
	c := &logicalClock{start: req.Clock}
	return cfg.WithWalltime(c.wall, 1000).WithNanotime(c.nano, 1000).
		WithNanosleep(c.sleep).WithRandSource(seeded(req.Seed))
}

// seeded is an endless stream of bytes that depends on nothing but the seed.
func seeded(seed uint64) io.Reader {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], seed)
	key := sha256.Sum256(append([]byte("ciro guest randomness v1\x00"), b[:]...))
	return mrand.NewChaCha8(key)
}

// logicalClock is a clock that only the guest's own deeds move. It is used by
// the guest's one thread.
type logicalClock struct {
	start   time.Time
	elapsed time.Duration
}

func (c *logicalClock) wall() (sec int64, nsec int32) {
	c.elapsed += tick
	now := c.start.Add(c.elapsed)
	return now.Unix(), int32(now.Nanosecond())
}

func (c *logicalClock) nano() int64 {
	c.elapsed += tick
	return int64(c.elapsed)
}

// unlimited is the time for which wazero has a guest sleep that polls
// descriptors only, even if all of them are ready: nothing is to be waited for.
const unlimited = math.MaxInt64

// sleep waits in real time.
func sleep(ns int64) {
	if ns > 0 && ns < unlimited {
		time.Sleep(time.Duration(ns))
	}
}

// sleep really sleeps, so that a waiting guest costs no processor time.
func (c *logicalClock) sleep(ns int64) {
	if ns <= 0 || ns == unlimited {
		return
	}
	sleep(ns)
	if sum := c.elapsed + time.Duration(ns); sum > c.elapsed {
		c.elapsed = sum
	}
}
