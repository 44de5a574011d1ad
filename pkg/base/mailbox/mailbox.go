// Package mailbox is the queue of an actor: any number of senders that never block, one reader.
package mailbox

import "sync"

// Box is an unbounded queue. The zero value is not ready; use New.
type Box[T any] struct {
	ready chan struct{} // holds a token while the queue is not empty or is closed

	mu     sync.Mutex // guards what follows
	queue  []T
	closed bool
}

// New returns an empty box.
func New[T any]() *Box[T] {
	return &Box[T]{ready: make(chan struct{}, 1)}
}

// Put adds v and reports whether the box was still open. It returns the queue's length, so that a
// sender can see an actor that has fallen behind.
func (b *Box[T]) Put(v T) (waiting int, open bool) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return 0, false
	}
	b.queue = append(b.queue, v)
	n := len(b.queue)
	b.mu.Unlock()
	if n == 1 {
		b.signal()
	}
	return n, true
}

func (b *Box[T]) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// Ready delivers a token when there is something to Take, or when the box was closed.
func (b *Box[T]) Ready() <-chan struct{} { return b.ready }

// Take returns all that waits and leaves spare, emptied, as the next queue: two slices serve for
// the box's whole life. It reports whether the box is still open.
func (b *Box[T]) Take(spare []T) (items []T, open bool) {
	clear(spare)
	b.mu.Lock()
	defer b.mu.Unlock()
	items, b.queue = b.queue, spare[:0]
	return items, !b.closed
}

// Close refuses further items. What waits can still be taken.
func (b *Box[T]) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.signal()
}
