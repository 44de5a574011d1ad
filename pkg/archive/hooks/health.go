package hooks

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

const (
	maxCounted = 10_000
	countBatch = 1000
	// alarmAfter is how long a hook may fail before an admin hears of it.
	alarmAfter = 15 * time.Minute
)

// hook returns a hook and how it does.
func (w *worker) hook(ctx context.Context) (h ctl.Hook, err error) {
	w.mu.Lock()
	d, p := w.doc, w.place
	w.mu.Unlock()
	h = ctl.Hook{HookSpec: d.HookSpec, ID: d.ID, Revision: d.Revision, Created: d.Created, By: d.By, Rotated: d.Rotated}
	h.Health = ctl.HookHealth{State: ctl.HookWorking, LastSuccess: p.Last, Failure: p.Failed, Since: p.First, Tries: p.Tries, NextTry: p.Next}
	switch {
	case d.Disabled:
		h.Health.State = ctl.HookOff
		return h, nil
	case p.Parked:
		h.Health.State = ctl.HookParked
	case p.Failed != nil:
		h.Health.State = ctl.HookRetry
	}
	h.Health.Waiting, err = w.e.count(ctx, &d.HookSpec, p.Passed)
	return h, err
}

// count counts the events behind a place that a hook asks for, whosever they are.
func (e *Engine) count(ctx context.Context, s *ctl.HookSpec, after uint64) (n int, err error) {
	for {
		some, err := e.cfg.Archive.Changes(ctx, after, countBatch)
		if err != nil || len(some) == 0 {
			return n, err
		}
		for _, c := range some {
			if slices.Contains(s.Events, kindOf(c.What)) {
				n++
			}
		}
		if n >= maxCounted {
			return maxCounted, nil
		}
		after = some[len(some)-1].Number
	}
}

// Resume tries a hook again at once, also one that is parked.
func (e *Engine) Resume(ctx context.Context, id, skip string) (h ctl.Hook, err error) {
	w, err := e.worker(id)
	if err != nil {
		return h, err
	}
	last := e.cfg.Archive.LastChange()
	if err := w.resume(skip, last); err != nil {
		return h, fmt.Errorf("resume hook: %w", err)
	}
	return w.hook(ctx)
}

func (w *worker) resume(skip string, last uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := place{Passed: w.place.Passed, Last: w.place.Last}
	switch skip {
	case ctl.HookSkipNone:
	case ctl.HookSkipOne:
		if w.place.At <= p.Passed {
			return problem.New(problem.Conflict, "hook.skip", "there is no event that failed", "look at the hook as it is now")
		}
		p.Passed = w.place.At
	case ctl.HookSkipAll:
		p.Passed = max(p.Passed, last)
	default:
		return problem.Fields("hook.invalid", []problem.Fault{{Path: "skip", Value: skip, Rule: "none, one or all", Cure: "choose one of them"}})
	}
	if err := w.e.writeAs(nil, w.doc.ID, &p); err != nil {
		return err
	}
	w.set(p)
	w.turn++
	w.kick()
	return nil
}

// Alarms tells which hooks have failed for long.
func (e *Engine) Alarms() (all []ctl.Alarm) {
	for _, w := range e.list() {
		w.mu.Lock()
		d, p := w.doc, w.place
		w.mu.Unlock()
		switch {
		case d.Disabled || p.Failed == nil:
		case p.Parked:
			all = append(all, ctl.Alarm{
				Code: "hook.parked." + d.ID, Text: fmt.Sprintf("the hook %s is parked: %s", d.Name, p.Failed.Text), Since: p.First,
				Cure: p.Failed.Cure + ", then start the hook again under Bridges",
			})
		case time.Since(p.First) > alarmAfter:
			all = append(all, ctl.Alarm{
				Code: "hook.failing." + d.ID, Text: fmt.Sprintf("the hook %s takes no events: %s", d.Name, p.Failed.Text), Since: p.First, Cure: p.Failed.Cure,
			})
		}
	}
	slices.SortFunc(all, func(a, b ctl.Alarm) int { return a.Since.Compare(b.Since) })
	return all
}
