package edge

import (
	"context"
	"hash/maphash"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/sip/aor"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// retryAfterSetUp is how long a phone waits before it asks a box again that is not set up.
const retryAfterSetUp = "Retry-After: 60\r\n"

// handle is gate behind a guard: a fault in the handling of one message must not end the others.
func (e *Edge) handle(in *Inbound, buf []byte, now time.Time) (taken bool) {
	if e.strict {
		return e.gate(in, buf, now)
	}
	defer func() {
		if r := recover(); r != nil {
			e.log.Error("a message could not be handled", "peer", in.Flow.Remote, "panic", r, "stack", string(debug.Stack()))
			taken = true // nobody knows who has it: it is left to the collector
		}
	}()
	return e.gate(in, buf, now)
}

// gate handles one message. It reports whether in was handed on, so that its reader needs another.
func (e *Edge) gate(in *Inbound, buf []byte, now time.Time) (taken bool) {
	e.Counters.Received.Add(1)
	if !e.limit.allow(in.Flow.Remote.Addr(), now) {
		e.Counters.Limited.Add(1)
		return false
	}
	if in.Read(buf) != nil {
		e.Counters.Junk.Add(1)
		return false
	}
	if e.log.Enabled(context.Background(), slogx.Trace) {
		e.log.Log(context.Background(), slogx.Trace, "received", "peer", in.Flow.Remote, "transport", in.Flow.Transport, "text", in.Text())
	}
	if in.IsResponse() {
		return e.response(in)
	}
	if in.ForDialog() {
		in.Keep() // a call will hold on to its texts
	}
	if r := in.Check(); r != nil {
		e.Counters.Refused.Add(1)
		if r.Code != 0 {
			e.Reply(in, &checked.Reply{Code: r.Code, Reason: r.Reason, Header: r.Header})
		}
		return false
	}
	return e.request(in)
}

func (e *Edge) response(in *Inbound) bool {
	in.Keep()
	if in.Check() != nil {
		return false // RFC 3261 §18.1.2: a response that nobody waits for is dropped
	}
	in.reader = nil
	if e.handlers.Response(in) {
		return true
	}
	e.Counters.Unmatched.Add(1)
	return false
}

// request routes by method; each has one place that answers it.
func (e *Edge) request(in *Inbound) bool {
	switch {
	case in.Method == checked.ACK || in.Method == checked.CANCEL || in.InDialog():
		return e.toCall(in)
	case in.Method == checked.OPTIONS && in.URI.User == "":
		e.ping(in)
		return false
	case e.domain() == "":
		e.Reply(in, &checked.Reply{Code: 503, Reason: "Not Set Up Yet", Header: retryAfterSetUp})
		return false
	case !e.authentic(in):
		return false
	}
	switch in.Method {
	case checked.REGISTER:
		e.handlers.Register(in)
		return false
	case checked.INVITE:
		return e.toCall(in)
	case checked.MESSAGE:
		return e.toChat(in)
	case checked.PRACK, checked.UPDATE, checked.INFO, checked.BYE: // only within a dialog
		e.noDialog(in)
		return false
	case checked.OPTIONS:
		e.ping(in)
		return false
	}
	e.slow.take(in)
	return false
}

// toCall hands a message to its call. What belongs to none is a 481; an ACK is never answered.
func (e *Edge) toCall(in *Inbound) bool {
	reader := in.reader
	in.reader = nil
	if e.handlers.Call(in) {
		return true
	}
	in.reader = reader
	e.Counters.Unmatched.Add(1)
	if in.Method != checked.ACK {
		e.noDialog(in)
	}
	return false
}

// toChat hands on a message that one user sends to another.
func (e *Edge) toChat(in *Inbound) bool {
	reader := in.reader
	in.reader = nil
	if e.handlers.Message(in) {
		return true
	}
	in.reader = reader
	return false
}

func (e *Edge) noDialog(in *Inbound) {
	e.Reply(in, &checked.Reply{Code: 481, Reason: "Call/Transaction Does Not Exist"}) // RFC 3261 §12.2.2
}

// ping answers OPTIONS (RFC 3261 §11.2). Asked of the box itself it needs no account: it tells a
// monitor that SIP works, and nothing of who or what is there.
func (e *Edge) ping(in *Inbound) {
	e.Reply(in, &checked.Reply{
		Code: 200, Reason: "OK",
		Header: "Allow: " + checked.Handled.String() + "\r\nSupported: " + checked.Understood.String() + "\r\nAccept: application/sdp\r\n",
	})
}

// authentic reports whether the request comes from a user, whom it notes; else it answers.
func (e *Edge) authentic(in *Inbound) bool {
	v := e.guard.Check(&in.Message, in.Flow.Remote.Addr())
	if v.Outcome == account.Accepted {
		in.Account, in.Device = v.Account, v.Device
		return true
	}
	e.Refuse(in, v)
	return false
}

// Authentic is authentic for requests within a dialog that come from elsewhere than the dialog's
// peer: it challenges and reports false, unless the request proves its user.
func (e *Edge) Authentic(in *Inbound) bool { return e.authentic(in) }

// Refuse answers a request that the guard did not accept: with a challenge, the same for all, or
// with 403 to a user who claims to be another.
func (e *Edge) Refuse(in *Inbound, v account.Verdict) {
	if v.Outcome == account.Refused || v.Outcome == account.Forbidden {
		e.Guessed(in.Flow.Remote.Addr())
		e.handlers.Failed(in, v)
	}
	if v.Outcome == account.Forbidden {
		e.Counters.Refused.Add(1)
		e.Reply(in, &checked.Reply{Code: 403, Reason: "Forbidden: not your identity"})
		return
	}
	e.Counters.Challenged.Add(1)
	reply := checked.Reply{Code: 407, Reason: "Proxy Authentication Required"}
	name := "Proxy-Authenticate: "
	if in.Method == checked.REGISTER {
		reply.Code, reply.Reason, name = 401, "Unauthorized", "WWW-Authenticate: "
	}
	var buf [512]byte
	reply.Extra = e.guard.AppendChallenge(buf[:0], name, in.Flow.Remote.Addr(), in.Flow.Transport == TLS, v.Outcome == account.Stale)
	e.Reply(in, &reply)
}

// Reply answers a request without keeping anything of it: a retransmission gets the same answer
// (RFC 3261 §8.2.7). It fills in the reply's From, and a tag if it has none.
func (e *Edge) Reply(in *Inbound, r *checked.Reply) {
	var tag [tagLength]byte
	r.From = in.Flow.Remote
	if r.ToTag == "" && r.Code > 100 {
		r.ToTag = string(statelessTag(tag[:0], in))
	}
	if in.reader != nil {
		in.reader.reply(in.Flow, func(dst []byte) []byte { return in.AppendReply(dst, r) })
		return
	}
	buf := GetBuffer()
	*buf = in.AppendReply(*buf, r)
	_ = e.Send(in.Flow, *buf) // counted there; the peer asks again
	PutBuffer(buf)
}

// Answer is Reply for an answer that leaves later, with others, when its promise is on disk.
func (e *Edge) Answer(in *Inbound, r *checked.Reply) *[]byte {
	var tag [tagLength]byte
	r.From = in.Flow.Remote
	if r.ToTag == "" {
		r.ToTag = string(statelessTag(tag[:0], in))
	}
	buf := GetBuffer()
	*buf = in.AppendReply(*buf, r)
	return buf
}

const tagLength = 16

var tagSeed = maphash.MakeSeed()

// statelessTag is the same for each retransmission of a request (RFC 3261 §8.2.7).
func statelessTag(dst []byte, in *Inbound) []byte {
	var h maphash.Hash
	h.SetSeed(tagSeed)
	_, _ = h.WriteString(in.CallID) // a hash takes all
	_, _ = h.WriteString(in.FromTag)
	_, _ = h.WriteString(in.Via.Branch)
	return strconv.AppendUint(dst, h.Sum64(), 36)
}

// IsOurs reports whether a host of a URI is one of the box's addresses.
func (e *Edge) IsOurs(host string) bool {
	u := aor.URI{Host: host}
	addr, ok := u.Addr()
	if !ok {
		return false
	}
	for _, s := range e.sockets {
		if s.local.Addr() == addr.Unmap() {
			return true
		}
	}
	return e.cfg.Owns(addr.Unmap())
}
