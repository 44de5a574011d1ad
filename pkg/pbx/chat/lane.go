package chat

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/chat/inbox"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/pbx/registrar"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// Tries of one message at one device.
const (
	retryFirst = 5 * time.Second
	retryLast  = 5 * time.Minute
	maxRefused = 8 // answers that speak of now, not of the message; after them the next one has its turn
)

// lane is the way of messages to one device: one at a time, in order.
type lane struct {
	r       *recipient
	key     string // of the device
	tx      *clientTx
	saving  bool // a word of the device is on its way to the disk
	away    bool // there was no way to the device
	seq     uint64
	refused int // answers to the message seq that were not the last word
	tries   int // of the message seq
	pause   time.Duration
	retry   *timer
}

// binding returns where the device is now, nil if it is not registered. Of several flows of a device
// the box takes one that is alive; for a long message one that carries it whole.
func (l *lane) binding() (found *registrar.Binding) {
	for _, b := range l.r.eng.deps.Devices.Lookup(l.r.userID) {
		if deviceKey(&b) != l.key {
			continue
		}
		if found == nil || (b.Transport.Reliable() && !found.Transport.Reliable()) ||
			(b.Transport.Reliable() == found.Transport.Reliable() && b.Refreshed.After(found.Refreshed)) {
			found = &b
		}
	}
	return found
}

// stop ends what is tried now. The next sign of the device starts it again.
func (l *lane) stop() {
	if l.tx != nil {
		l.r.drop(l.tx)
		l.tx = nil
	}
	l.retry.stop()
	l.retry = nil
}

// again tries at once, on the way that the device came by now.
func (l *lane) again() {
	l.stop()
	l.pause, l.away = 0, false
	l.next()
}

// next sends the next message, if the lane is free.
func (l *lane) next() {
	if l.tx != nil || l.saving || l.retry != nil || !l.r.eng.opened.Load() {
		return
	}
	var n inbox.Next
	if err := l.r.eng.store.View(func(t *inbox.Tx) { n = t.Next(l.r.userID, l.key) }); err != nil {
		l.r.eng.log.Error("a message could not be read", "aor", l.r.name, "err", err)
		return
	}
	if !n.Known {
		if b := l.binding(); b != nil {
			l.r.eng.Bound(*b) // it came before we heard of it, or a crash made us forget
		}
		return
	}
	if n.Item == nil {
		if n.Pass > l.seq { // what is not for this device need not wait for it
			l.seq = n.Pass
			l.r.eng.ops.Put(op{do: func(t *inbox.Tx) { t.Pass(l.r.userID, l.key, n.Pass, inbox.At(time.Now())) }})
		}
		return
	}
	if n.Item.Seq != l.seq {
		l.seq, l.refused, l.tries, l.pause = n.Item.Seq, 0, 0, 0
	}
	l.send(&n)
}

// send sends a message to the device, wherever it is now.
func (l *lane) send(n *inbox.Next) {
	e := l.r.eng
	b := l.binding()
	if b == nil {
		l.away = true // it is woken, and tells when it comes
		return
	}
	flow, err := e.deps.Devices.Flow(b)
	if err == nil {
		l.tries++
		tx := &clientTx{r: l.r, flow: flow, branch: l.branch(), callID: n.Item.CallID}
		tx.done = func(in *edge.Inbound) { l.answered(n.Item, in) }
		tx.b = e.request(b, flow, tx.branch, n)
		if err = l.r.start(tx); err == nil {
			l.tx, l.away = tx, false
			return
		}
	}
	e.log.Debug("no way to a device", "aor", l.r.name, "peer", b.Remote, "err", err)
	l.away = true
	if flow.Transport == edge.UDP { // a connection comes back by itself, and says so
		l.wait()
	}
}

// wait tries again after a pause that grows.
func (l *lane) wait() {
	l.pause = min(max(2*l.pause, retryFirst), retryLast)
	l.retry = l.r.after(l.pause, func() {
		l.retry = nil
		l.next()
	})
}

// branch names the transaction by what it is about. A request that a crash made us forget goes out the
// same again, so that a device that has it already sees a retransmission (RFC 3261 §17.2.3). After an
// answer it is another one.
func (l *lane) branch() string {
	return branchOf(l.r.userID, l.key, l.seq, l.refused)
}

// branchOf makes a branch of what names a transaction.
func branchOf(parts ...any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%#v", parts))
	return checked.Cookie + "im-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:15]))
}

// answered takes a device's final answer, or nil when none came.
func (l *lane) answered(i *inbox.Item, in *edge.Inbound) {
	l.tx = nil
	code, reason := 408, "Request Timeout"
	if in != nil {
		code, reason = in.Status, strings.Clone(in.Reason)
		if code >= 300 {
			l.refused++
		}
	}
	res := inbox.Result{Taken: code < 300, Code: code, Reason: reason, Tries: l.tries, At: inbox.At(time.Now())}
	switch {
	case res.Taken:
		l.r.eng.Counters.Sent.Add(1)
		l.settle(i, res)
	case final(code) || l.refused >= maxRefused:
		l.settle(i, res)
	default:
		l.wait()
	}
}

// final reports whether a device that answers so will not take the message later either: it is about
// the message or about what the device can do. All others are about now, or about the way: the device
// may be another one tomorrow.
func final(code int) bool {
	switch code {
	case 400, 403, 405, 406, 410, 413, 414, 415, 416, 420, 488, 493, 501, 505, 513, 603, 604, 606:
		return true
	}
	return false
}

// settle writes down the device's last word. Only then does the next message leave: a crash makes at
// most one message of each device doubtful.
func (l *lane) settle(i *inbox.Item, res inbox.Result) {
	r, e := l.r, l.r.eng
	l.saving = true
	e.ops.Put(op{
		do: func(t *inbox.Tx) { t.Settle(r.userID, r.name, l.key, i.Seq, res) },
		done: func(err error) {
			e.post(r.userID, event{do: func(*recipient) { l.settled(i, res, err) }})
		},
	})
}

// settled goes on when the disk has it. While it takes nothing, the word is kept in mind: to send the
// message again would show it twice.
func (l *lane) settled(i *inbox.Item, res inbox.Result, err error) {
	if err != nil {
		l.r.after(retryFirst, func() { l.settle(i, res) })
		return
	}
	l.saving = false
	l.next()
}
