package ledger

import (
	"bytes"
	"sync"
)

// Memory is a store that lasts as long as its process, for tests and programs
// that only look. The zero value is empty.
type Memory struct {
	mu sync.Mutex
	m  map[string][]byte
}

// Get implements Store.
func (m *Memory) Get(key []byte) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.m[string(key)]
	return bytes.Clone(v), ok, nil
}

// Put implements Store.
func (m *Memory) Put(pairs ...Pair) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.m == nil {
		m.m = map[string][]byte{}
	}
	for _, p := range pairs {
		m.m[string(p.Key)] = bytes.Clone(p.Value)
	}
	return nil
}
