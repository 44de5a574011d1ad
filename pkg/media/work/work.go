// Package work does what takes processor time for streams, such as codecs, outside of the media loops: a
// few workers turn every 20 ms, each the owner of many jobs, and lend the loops only to send.
package work

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Turn is the time between two turns of a worker: the packet time that nearly all phones use.
	Turn = 20 * time.Millisecond
	// maxLate turns behind, a worker gives up to catch up: what it would send comes too late anyway.
	maxLate = 10
	// sendAtOnce is how many jobs send in one go: the loop relays nothing meanwhile, and a packet costs
	// it about a microsecond.
	sendAtOnce = 64
)

// Loop is what a job's packets are sent by.
type Loop interface {
	Do(f func(now int64)) error
	Now() int64
}

// Job is the work for a stream. Its methods are called by one goroutine at a time.
type Job interface {
	// Work does what takes time, up to now of the loop's clock. It touches nothing of the loop.
	Work(now int64)
	// Send is called inside the loop after Work and sends what that made. It reports false when the job
	// is over; nothing is called any more then.
	Send(now int64) (more bool)
}

// Pool is a few workers.
type Pool struct {
	workers []*worker
	faults  atomic.Uint64
}

// Stats tells how a pool is.
type Stats struct {
	Jobs   int
	Late   uint64 // turns that were left out, since start
	Faults uint64 // jobs that ended by a fault of ours
}

// New returns a pool of n workers. Jobs wait until it runs.
func New(n int, log *slog.Logger) *Pool {
	p := &Pool{}
	for range max(n, 1) {
		p.workers = append(p.workers, &worker{pool: p, log: log, wake: make(chan struct{}, 1)})
	}
	return p
}

// Add gives a job to the worker that has the fewest.
func (p *Pool) Add(l Loop, j Job) {
	best := p.workers[0]
	for _, w := range p.workers[1:] {
		if w.load.Load() < best.load.Load() {
			best = w
		}
	}
	best.add(l, j)
}

// Stats returns how the pool is.
func (p *Pool) Stats() Stats {
	st := Stats{Faults: p.faults.Load()}
	for _, w := range p.workers {
		st.Jobs += int(w.load.Load())
		st.Late += w.late.Load()
	}
	return st
}

// Run works until ctx ends.
func (p *Pool) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, w := range p.workers {
		wg.Go(func() { w.run(ctx) })
	}
	wg.Wait()
	return nil
}

// worker owns its jobs, and turns while it has any.
type worker struct {
	pool   *Pool
	log    *slog.Logger
	wake   chan struct{} // holds a token when a job came
	load   atomic.Int64
	late   atomic.Uint64
	groups []*group
	atHand *task // whose method runs

	mu       sync.Mutex // guards what follows
	incoming []task
}

type task struct {
	loop Loop
	job  Job
	over bool
}

// group is the tasks of one loop.
type group struct {
	loop  Loop
	tasks []task
}

func (w *worker) add(l Loop, j Job) {
	w.load.Add(1)
	w.mu.Lock()
	w.incoming = append(w.incoming, task{loop: l, job: j})
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *worker) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for next := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if !w.take() {
			select {
			case <-ctx.Done():
				return
			case <-w.wake:
			}
			next = time.Now()
			w.take()
		}
		w.turn()
		next = next.Add(Turn)
		if late := time.Since(next); late > maxLate*Turn {
			w.late.Add(uint64(late / Turn))
			next = time.Now()
		}
		timer.Reset(time.Until(next))
	}
}

// take takes over the jobs that came, and reports whether there are any.
func (w *worker) take() bool {
	w.mu.Lock()
	incoming := w.incoming
	w.incoming = nil
	w.mu.Unlock()
	for _, t := range incoming {
		g := w.group(t.loop)
		g.tasks = append(g.tasks, t)
	}
	return w.load.Load() > 0
}

func (w *worker) group(l Loop) *group {
	for _, g := range w.groups {
		if g.loop == l {
			return g
		}
	}
	g := &group{loop: l}
	w.groups = append(w.groups, g)
	return g
}

// turn lets every job work and send.
func (w *worker) turn() {
	for _, g := range w.groups {
		if len(g.tasks) == 0 {
			continue
		}
		now := g.loop.Now()
		for at := 0; at < len(g.tasks); {
			at = w.work(g, at, now)
		}
		for at := 0; at < len(g.tasks); at += sendAtOnce {
			w.send(g, g.tasks[at:min(at+sendAtOnce, len(g.tasks))])
		}
		w.sweep(g)
	}
}

// work lets the tasks from at on work, up to one that makes us fail, and returns where to go on.
func (w *worker) work(g *group, at int, now int64) (next int) {
	defer w.survive()
	for next = at; next < len(g.tasks); {
		t := &g.tasks[next]
		next++
		if !t.over {
			w.atHand = t
			t.job.Work(now)
		}
	}
	return next
}

// send lets the tasks send, in one go. A loop that has ended has no streams.
func (w *worker) send(g *group, tasks []task) {
	err := g.loop.Do(func(now int64) {
		for at := 0; at < len(tasks); {
			at = w.sendFrom(tasks, at, now)
		}
	})
	for i := range tasks {
		tasks[i].over = tasks[i].over || err != nil
	}
}

func (w *worker) sendFrom(tasks []task, at int, now int64) (next int) {
	defer w.survive()
	for next = at; next < len(tasks); {
		t := &tasks[next]
		next++
		if !t.over {
			w.atHand = t
			t.over = !t.job.Send(now)
		}
	}
	return next
}

// survive ends the task that made us fail, and only that.
func (w *worker) survive() {
	fault := recover()
	if fault == nil {
		return
	}
	w.atHand.over = true
	w.pool.faults.Add(1)
	w.log.Error("work for a media stream ended by a fault", "err", errors.New(fmt.Sprint(fault)), "stack", string(debug.Stack()))
}

// sweep lets go of the tasks that are over.
func (w *worker) sweep(g *group) {
	kept := g.tasks[:0]
	for _, t := range g.tasks {
		if !t.over {
			kept = append(kept, t)
		}
	}
	w.load.Add(int64(len(kept) - len(g.tasks)))
	clear(g.tasks[len(kept):])
	g.tasks = kept
}
