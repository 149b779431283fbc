package main

import (
	"encoding/binary"
	"encoding/json"
	"time"
)

// napModule is a WASI module whose _start sleeps that long by poll_oneoff and
// returns. Nothing else of it would tell in a run, and it needs no compiler.
func napModule(d time.Duration) []byte {
	subscription := make([]byte, 48) // userdata, tag 0: a clock, clock 0, its timeout at 24
	binary.LittleEndian.PutUint64(subscription[24:], uint64(d))
	name := func(s string) []byte { return append([]byte{byte(len(s))}, s...) }
	section := func(id byte, parts ...[]byte) []byte {
		var body []byte
		for _, p := range parts {
			body = append(body, p...)
		}
		return append([]byte{id, byte(len(body))}, body...)
	}
	// poll_oneoff(in: 0, out: 64, n: 1, number of events: 128)
	code := []byte{0 /* no locals */, 0x41, 0, 0x41, 0xc0, 0, 0x41, 1, 0x41, 0x80, 1, 0x10, 0 /* call */, 0x1a /* drop */, 0x0b}
	out := []byte{0, 'a', 's', 'm', 1, 0, 0, 0}
	for _, s := range [][]byte{
		section(1, []byte{2, 0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f, 0x60, 0, 0}),
		section(2, []byte{1}, name("wasi_snapshot_preview1"), name("poll_oneoff"), []byte{0, 0}),
		section(3, []byte{1, 1}),
		section(5, []byte{1, 0, 1}),
		section(7, []byte{2}, name("memory"), []byte{2, 0}, name("_start"), []byte{0, 1}),
		section(10, []byte{1, byte(len(code))}, code),
		section(11, []byte{1, 0, 0x41, 0, 0x0b}, append([]byte{byte(len(subscription))}, subscription...)),
	} {
		out = append(out, s...)
	}
	return out
}

// shape is a kind of job in the load.
type shape struct {
	name   string
	nap    time.Duration
	tasks  int
	gather bool
}

// The shapes of jobs: mostly nothing, some that are still there when a fault
// comes.
var (
	tiny   = shape{name: "tiny", tasks: 1}
	array  = shape{name: "array", nap: 300 * time.Millisecond, tasks: 4, gather: true}
	longer = shape{name: "longer", nap: 4 * time.Second, tasks: 3}
	shapes = []shape{tiny, array, longer}
)

// spec is a job of a shape with a module that is already in the mesh.
func (s shape) spec(cid, key string) ([]byte, error) {
	doc := map[string]any{
		"name": key, "module": cid, "tasks": s.tasks, "timeout": "30s", "retries": 20,
		"resources": map[string]any{"cpu": 0.25, "memory": "16MiB"},
	}
	if s.gather {
		doc["gather"] = map[string]any{}
	}
	return json.Marshal(doc)
}
