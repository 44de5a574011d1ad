package chat

import (
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/pbx/chat/inbox"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// maxPassing bounds the messages to one user that are passed on and not kept: it is a phone's news
// that somebody writes, a few a minute.
const maxPassing = 64

// passing is a message that is passed on to the devices that are there, and not kept.
type passing struct {
	m     *incoming
	item  *inbox.Item
	left  int // devices that have not answered
	best  checked.Reply
	taken bool
}

// pass hands a message to all devices that can be reached now. The sender hears what the first of them
// says that takes it, or the best of what the others say.
func (r *recipient) pass(m *incoming) {
	e := r.eng
	p := &passing{m: m, best: checked.Reply{Code: 480, Reason: "Temporarily Unavailable"}}
	if len(r.sending) >= maxPassing {
		p.best = checked.Reply{Code: 503, Reason: "Busy", Header: "Retry-After: 5\r\n"}
		p.end(e)
		return
	}
	if r.passes(m) {
		e.deps.Wire.Release(m.in) // a retransmission: the answer is on its way
		return
	}
	var w *inbox.Wire
	p.item, w = e.item(m)
	p.item.Rec.From, _ = e.sender(m.in, m.from)
	for _, l := range r.lanes {
		if b := l.binding(); b != nil && m.isFor(b.Instance) {
			dev := deviceOf(b)
			flow, err := e.deps.Devices.Flow(b)
			if err != nil {
				continue
			}
			tx := &clientTx{r: r, flow: flow, branch: m.branch(dev.Key), callID: p.item.CallID}
			tx.b = e.request(b, flow, tx.branch, &inbox.Next{Item: p.item, Wire: w})
			tx.done = func(in *edge.Inbound) { p.answered(r, &dev, in) }
			if r.start(tx) == nil {
				p.left++
			}
		}
	}
	if p.left == 0 {
		p.end(e)
	}
}

// branch names the transaction with a device by the request that is passed on: who sends it again is
// answered by the device as if it came again.
func (m *incoming) branch(key string) string {
	return branchOf(m.from.ID, m.in.CallID, m.in.FromTag, m.in.CSeq, m.to.ID, key)
}

// passes reports whether this request is being passed on.
func (r *recipient) passes(m *incoming) bool {
	for key := range r.lanes {
		branch := m.branch(key)
		if slices.ContainsFunc(r.sending, func(tx *clientTx) bool { return tx.branch == branch }) {
			return true
		}
	}
	return false
}

// answered takes the answer of one device.
func (p *passing) answered(r *recipient, d *inbox.Device, in *edge.Inbound) {
	p.left--
	reply := checked.Reply{Code: 408, Reason: "Request Timeout"}
	if in != nil {
		reply = checked.Reply{Code: in.Status, Reason: strings.Clone(in.Reason)}
	}
	p.item.Answered(r.name, d.Record(), inbox.Result{Taken: reply.Code < 300, Code: reply.Code, Reason: reply.Reason, Tries: 1, At: p.m.now})
	if reply.Code < 300 || p.best.Code == 480 {
		p.best = reply
	}
	if reply.Code < 300 && !p.taken {
		p.taken = true
		r.eng.Counters.Passed.Add(1)
		p.reply(r.eng)
	}
	if p.left == 0 {
		p.end(r.eng)
	}
}

func (p *passing) reply(e *Engine) {
	e.deps.Wire.Reply(p.m.in, &p.best)
	e.deps.Wire.Release(p.m.in)
}

// end answers, if that was not done, and writes the record of what somebody wrote: that he was writing
// is none.
func (p *passing) end(e *Engine) {
	if !p.taken {
		p.reply(e)
	}
	if p.item == nil || p.m.msg.Writing {
		return
	}
	if !p.taken {
		p.item.Rec.Status = record.MessageFailed
		p.item.Rec.Changes = append(p.item.Rec.Changes, record.Change{At: p.m.now, Status: record.MessageFailed})
	}
	rec := p.item.Rec
	rec.Content, rec.Expires = p.m.msg.Body, p.m.now
	e.deps.Record(rec, func(error) {}) // it is not kept: there is nothing to write it from again
}
