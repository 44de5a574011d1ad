package chat

import (
	"context"
	"slices"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/pbx/chat/inbox"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/imdn"
)

// op is a change of what is on disk. All that come while one transaction is written make the next, so
// that a sync serves many.
type op struct {
	do   func(*inbox.Tx)
	done func(error) // told when it is on disk, or why it is not; must not block
}

// Limits of the writer.
const (
	maxOps    = 256                  // of a transaction: those behind it wait for it
	maxQueued = 4_000                // messages that wait for the disk; more are not accepted
	linger    = 2 * time.Millisecond // for others to come along: each transaction costs two syncs
	roomEvery = time.Second          // how long an answer about the disk is believed
)

// write applies operations until the box is closed and empty.
func (e *Engine) write() {
	var spare []op
	var asked time.Time
	for open := true; open; {
		<-e.ops.Ready()
		if e.ctx.Err() == nil {
			time.Sleep(linger)
		}
		var items []op
		items, open = e.ops.Take(spare)
		if now := time.Now(); now.Sub(asked) > roomEvery {
			asked = now
			e.checkRoom()
		}
		for chunk := range slices.Chunk(items, maxOps) {
			e.commit(chunk)
		}
		spare = items
	}
}

// checkRoom notes whether the disk has room for more messages.
func (e *Engine) checkRoom() {
	low, err := e.store.Room()
	e.low.Store(low)
	if full := err != nil; e.full.Swap(full) != full && full {
		e.log.Error("no messages are accepted", "err", err)
	}
}

func (e *Engine) commit(ops []op) {
	var news []string // users who get something that nobody asked for
	err := e.store.Update(func(t *inbox.Tx) {
		for _, o := range ops {
			o.do(t)
			news = append(news, e.tellFailed(t)...)
		}
	})
	for _, o := range ops {
		if o.done != nil {
			o.done(err)
		}
	}
	e.deps.Out.Flush()
	if failed := err != nil; e.failing.Swap(failed) != failed {
		if failed {
			e.log.Error("messages cannot be kept: none are accepted", "err", err, "full", fsx.IsFull(err))
		} else {
			e.log.Info("messages are kept again")
		}
	}
	if err != nil {
		return
	}
	for _, id := range news {
		e.post(id, event{do: func(r *recipient) { r.look() }})
	}
	e.remind()
}

// remind lets records be written that were not, or that a predecessor left.
func (e *Engine) remind() {
	select {
	case e.written <- struct{}{}:
	default: // they are to be
	}
}

// tellFailed makes the receipts for messages that reached nobody, where their senders asked for that
// (RFC 5438 §7.2.1.1), and returns who gets them.
func (e *Engine) tellFailed(t *inbox.Tx) (users []string) {
	failed := t.Failed
	t.Failed = nil
	for _, i := range failed {
		e.Counters.Expired.Add(1)
		if i.OwnWord || i.Rec.Type != record.MessageContent || !slices.Contains(i.Rec.Asked, imdn.NegativeDelivery) {
			continue
		}
		item, wire := e.negative(i, time.Now())
		if out := t.Put(item, wire, ""); out.Code == 0 {
			users = append(users, item.RecipientID)
		}
	}
	return users
}

// Times of the sweep.
const (
	sweepEvery = 10 * time.Second
	staleEvery = time.Hour
)

// sweep ends what is due, until ctx ends.
func (e *Engine) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	var stale time.Time
	for {
		e.checkRoom()
		if e.failing.Load() { // nobody would find out that the disk is well again: no message is accepted
			e.ops.Put(op{do: func(*inbox.Tx) {}})
		}
		e.expire(ctx)
		e.remind()
		e.report()
		if now := time.Now(); now.Sub(stale) > staleEvery {
			stale = now
			e.forgetDevices(now)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (e *Engine) expire(ctx context.Context) {
	now, low := inbox.At(time.Now()), e.low.Load()
	more := false
	if err := e.store.View(func(t *inbox.Tx) { more = t.Due(now, low) }); err != nil {
		e.log.Warn("what is due was not looked up", "err", err)
	}
	for more && ctx.Err() == nil {
		done := make(chan error, 1)
		e.ops.Put(op{
			do: func(t *inbox.Tx) {
				more = t.Expire(now)
				more = t.Shrink(low) || more
				low = false // once for each sweep: what is freed shows after it
			},
			done: func(err error) { done <- err },
		})
		if <-done != nil {
			return // the next sweep tries again
		}
	}
}

// report tells what was done since it was told last.
func (e *Engine) report() {
	c := &e.Counters
	now := [...]uint64{c.Accepted.Load(), c.Refused.Load(), c.Again.Load(), c.Sent.Load(), c.Passed.Load(), c.Expired.Load()}
	last := e.reported
	if e.reported = now; now != last {
		e.log.Debug("messages", "accepted", now[0]-last[0], "refused", now[1]-last[1], "again", now[2]-last[2], "sent", now[3]-last[3],
			"passed", now[4]-last[4], "failed", now[5]-last[5], "waiting", e.Waiting())
	}
}

// forgetDevices forgets devices that have not come for as long as messages are kept: nothing can wait
// for them. Those that are there have not gone since they came.
func (e *Engine) forgetDevices(now time.Time) {
	var stale map[string][]inbox.Device
	if err := e.store.View(func(t *inbox.Tx) { stale = t.Stale(now.Add(-e.keep())) }); err != nil {
		e.log.Warn("devices that left were not looked up", "err", err)
		return
	}
	for user, list := range stale {
		here := map[string]bool{}
		for _, b := range e.deps.Devices.Lookup(user) {
			here[deviceKey(&b)] = true
		}
		for _, d := range list {
			if here[d.Key] {
				continue
			}
			e.ops.Put(op{do: func(t *inbox.Tx) { t.Forget(user, d.Key, inbox.At(now)) }})
		}
	}
}
