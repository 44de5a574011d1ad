package call

import (
	"hash/maphash"
	"sync"
)

// tableShards keeps readers of different flows from waiting for each other.
const tableShards = 16

// table finds the call of a message. Its locks are held for one map operation.
type table struct {
	seed   maphash.Seed
	shards [tableShards]tableShard
}

type tableShard struct {
	mu    sync.RWMutex // guards calls
	calls map[string]*Call
}

func newTable() *table {
	t := &table{seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i].calls = map[string]*Call{}
	}
	return t
}

func (t *table) shard(key string) *tableShard {
	return &t.shards[maphash.String(t.seed, key)%tableShards]
}

func (t *table) get(key string) *Call {
	s := t.shard(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.calls[key]
}

// put enters a call, unless one is there: that one is returned.
func (t *table) put(key string, c *Call) (there *Call) {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.calls[key]; old != nil {
		return old
	}
	s.calls[key] = c
	return nil
}

// move gives a key to another call.
func (t *table) move(key string, c *Call) {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[key] = c
}

// remove takes a key off, if it is still this call's.
func (t *table) remove(key string, c *Call) {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[key] == c {
		delete(s.calls, key)
	}
}
