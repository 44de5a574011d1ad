package offload

import (
	"context"
	"errors"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Run tells netd what there is to tell until ctx ends or netd fails: then the path is of no more use.
func (f *Filter) Run(ctx context.Context) error {
	alive := time.NewTicker(aliveTime)
	defer alive.Stop()
	for {
		select {
		case <-ctx.Done():
			f.give(errNotTold)
			return nil
		case <-alive.C:
		case <-f.wake:
		}
		for more := true; more; {
			var c change
			c, more = f.cut()
			if err := f.send(ctx, c); err != nil {
				err = errors.Join(errNotTold, err)
				f.give(err)
				return err
			}
		}
	}
}

// change is one message to netd.
type change struct {
	flows ctl.MediaFlows
	puts  []*filtered
	takes []taking
}

// cut takes what is to be told next, and reports whether there is more. What was closed before it was
// told is left out.
func (f *Filter) cut() (c change, more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.flows.Path = f.Path()
	n := min(len(f.takes), maxChange)
	c.takes, f.takes = f.takes[:n:n], f.takes[n:]
	for _, t := range c.takes {
		c.flows.Take = append(c.flows.Take, t.slot)
	}
	n = 0
	for _, b := range f.puts[:min(len(f.puts), maxChange)] {
		n++
		if f.used[b.key] == b {
			b.sent = true
			c.puts = append(c.puts, b)
			c.flows.Put = append(c.flows.Put, b.told)
		}
	}
	if f.puts = f.puts[n:]; len(f.puts) == 0 {
		f.puts = nil
	}
	if len(f.takes) == 0 {
		f.takes = nil
	}
	return c, len(f.puts)+len(f.takes) > 0
}

func (f *Filter) send(ctx context.Context, c change) error {
	ctx, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	if err := f.tell(ctx, c.flows); err != nil {
		return err
	}
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range c.puts {
		b.since.CompareAndSwap(0, now)
	}
	for _, t := range c.takes {
		if t.of == nil {
			continue
		}
		f.done++
		t.of.over.Store(true)
		if t.of.freed {
			f.free = append(f.free, t.slot)
		}
	}
	if len(c.takes) > 0 {
		f.tellWaitersLocked()
	}
	return nil
}

// give gives the path up.
func (f *Filter) give(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = err
	f.tellWaitersLocked()
}

func (f *Filter) tellWaitersLocked() {
	close(f.answered)
	f.answered = make(chan struct{})
}
