package mediad

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

const (
	aliveEvery = 10 * time.Second // readers of the event stream take longer silence for a hang
	// maxWaiting events wait for a reader, or for the first one. One that falls further behind is cut
	// off: it asks for all sessions when it comes back.
	maxWaiting = 4096
)

// hub gives events to all who listen. The zero value is ready.
type hub struct {
	mu      sync.Mutex // guards what follows
	readers map[chan ctl.MediaEvent]struct{}
	unheard []ctl.MediaEvent // that nobody listened to yet: what a restart lost is told before anybody can ask
}

// tell gives an event to all readers. It never blocks.
func (h *hub) tell(ev ctl.MediaEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.readers) == 0 {
		if len(h.unheard) == maxWaiting {
			h.unheard = h.unheard[1:]
		}
		h.unheard = append(h.unheard, ev)
		return
	}
	for ch := range h.readers {
		select {
		case ch <- ev:
		default:
			delete(h.readers, ch)
			close(ch)
		}
	}
}

func (h *hub) join() chan ctl.MediaEvent {
	h.mu.Lock()
	defer h.mu.Unlock()
	ch := make(chan ctl.MediaEvent, maxWaiting)
	for _, ev := range h.unheard {
		ch <- ev
	}
	h.unheard = nil
	if h.readers == nil {
		h.readers = map[chan ctl.MediaEvent]struct{}{}
	}
	h.readers[ch] = struct{}{}
	return ch
}

func (h *hub) leave(ch chan ctl.MediaEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.readers, ch)
}

var errSlow = errors.New("the reader is too slow")

// send writes events by emit until ctx ends or the reader is too slow.
func (h *hub) send(ctx context.Context, emit func(any) error) error {
	ch := h.join()
	defer h.leave(ch)
	alive := time.NewTicker(aliveEvery)
	defer alive.Stop()
	for {
		ev := ctl.MediaEvent{Alive: true}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case at := <-alive.C:
			ev.At = at
		case got, ok := <-ch:
			if !ok {
				return errSlow
			}
			ev = got
		}
		if err := emit(ev); err != nil {
			return err
		}
	}
}
