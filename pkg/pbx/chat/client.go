package chat

import (
	"slices"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/pbx/chat/inbox"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/pbx/registrar"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// Timers of RFC 3261 §17.1.2.2.
const (
	timerT1 = 500 * time.Millisecond
	timerT2 = 4 * time.Second
	timerF  = 64 * timerT1
)

// clientTx is a MESSAGE of ours that waits for its final response.
type clientTx struct {
	r        *recipient
	flow     edge.Flow
	branch   string
	callID   string
	b        []byte              // the request, to send again
	done     func(*edge.Inbound) // told of the final response, nil when none came
	interval time.Duration
	heard    bool   // a provisional response came
	again    *timer // E
	limit    *timer // F
}

// start sends a request and, on an unreliable way, sends it again until an answer comes.
func (r *recipient) start(tx *clientTx) error {
	r.eng.expect(tx.branch, r)
	if err := r.eng.deps.Wire.Send(tx.flow, tx.b); err != nil {
		r.eng.expect(tx.branch, nil)
		return err
	}
	r.sending = append(r.sending, tx)
	if !tx.flow.Transport.Reliable() {
		tx.interval = timerT1
		tx.again = r.after(timerT1, func() { r.resend(tx) })
	}
	tx.limit = r.after(timerF, func() { r.finish(tx, nil) })
	return nil
}

func (r *recipient) resend(tx *clientTx) {
	_ = r.eng.deps.Wire.Send(tx.flow, tx.b) // counted there; it is sent again
	tx.interval = min(2*tx.interval, timerT2)
	if tx.heard {
		tx.interval = timerT2
	}
	tx.again = r.after(tx.interval, func() { r.resend(tx) })
}

// drop forgets a request.
func (r *recipient) drop(tx *clientTx) {
	tx.again.stop()
	tx.limit.stop()
	r.sending = slices.DeleteFunc(r.sending, func(x *clientTx) bool { return x == tx })
	r.eng.expect(tx.branch, nil)
}

func (r *recipient) finish(tx *clientTx, in *edge.Inbound) {
	r.drop(tx)
	tx.done(in)
}

// response takes a response to one of our requests: it must match it (RFC 3261 §17.1.3) and come from
// where the request went.
func (r *recipient) response(in *edge.Inbound) {
	for _, tx := range r.sending {
		if tx.branch != in.Via.Branch || in.Method != checked.MESSAGE || tx.callID != in.CallID || tx.flow.Remote != in.Flow.Remote {
			continue
		}
		if in.Status < 200 {
			tx.heard = true
		} else {
			r.finish(tx, in)
		}
		return
	}
}

// request writes a message to a device: From, To, Call-ID and body as the sender sent them, since
// receipts name the Call-ID and clients find the conversation by From. RFC 3261 §18.1.1, not followed:
// a request over 1300 bytes goes by UDP to a device that is registered over UDP only. It may not listen
// to anything else; what comes in fragments is better than nothing.
func (e *Engine) request(b *registrar.Binding, f edge.Flow, branch string, n *inbox.Next) []byte {
	i := n.Item
	dst := make([]byte, 0, 512+len(n.Wire.Head)+len(n.Wire.Body))
	dst = append(append(append(dst, "MESSAGE "...), b.Contact...), " SIP/2.0\r\n"...)
	dst = f.AppendVia(dst, e.deps.Wire.SentBy(f), branch)
	dst = strconv.AppendInt(append(dst, "Max-Forwards: "...), int64(max(i.Forwards, 1)), 10)
	for _, hop := range b.Path {
		dst = append(append(dst, "\r\nRoute: "...), hop...)
	}
	dst = append(append(dst, "\r\nFrom: "...), i.From...)
	dst = append(append(dst, "\r\nTo: "...), i.To...)
	dst = append(append(dst, "\r\nCall-ID: "...), i.CallID...)
	dst = strconv.AppendUint(append(dst, "\r\nCSeq: "...), uint64(i.CSeq), 10)
	dst = append(append(dst, " MESSAGE\r\n"...), n.Wire.Head...)
	dst = strconv.AppendInt(append(dst, "Content-Length: "...), int64(len(n.Wire.Body)), 10)
	return append(append(dst, "\r\n\r\n"...), n.Wire.Body...)
}
