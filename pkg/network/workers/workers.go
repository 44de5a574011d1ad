// Package workers runs one goroutine for each thing that is wanted, and no other.
package workers

import (
	"context"
	"reflect"
	"sync"
)

// Set runs a worker for each key. A worker whose settings change is stopped and begun anew. Want may
// be called from any goroutine.
type Set[T any] struct {
	work    func(ctx context.Context, key string, settings T)
	changed chan struct{}

	mu   sync.Mutex
	want map[string]T
}

// New returns a set that runs work, which returns when its context ends.
func New[T any](work func(ctx context.Context, key string, settings T)) *Set[T] {
	return &Set[T]{work: work, changed: make(chan struct{}, 1)}
}

// Want says which workers there should be.
func (s *Set[T]) Want(want map[string]T) {
	s.mu.Lock()
	s.want = want
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default: // it will be seen anyway
	}
}

type running[T any] struct {
	settings T
	stop     func() // and wait
}

// Run keeps the workers as they are wanted until ctx ends, and waits for all of them.
func (s *Set[T]) Run(ctx context.Context) error {
	now := map[string]running[T]{}
	for {
		s.mu.Lock()
		want := s.want
		s.mu.Unlock()
		for key, r := range now {
			if settings, ok := want[key]; !ok || !reflect.DeepEqual(settings, r.settings) {
				r.stop()
				delete(now, key)
			}
		}
		for key, settings := range want {
			if _, ok := now[key]; !ok {
				now[key] = running[T]{settings, s.start(ctx, key, settings)}
			}
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			for _, r := range now {
				r.stop()
			}
			return nil
		}
	}
}

func (s *Set[T]) start(ctx context.Context, key string, settings T) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.work(ctx, key, settings)
	}()
	return func() { cancel(); <-ended }
}
