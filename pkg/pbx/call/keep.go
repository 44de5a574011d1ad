package call

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/coraltele/sanchar/pkg/base/mailbox"
	"github.com/coraltele/sanchar/pkg/base/pack"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/checked"
	"github.com/coraltele/sanchar/pkg/sip/sdp"
)

// stateVersion is the form of a kept state. A successor that does not know it ends the call.
const stateVersion = 4

var errVersion = errors.New("kept by another version")

// keep writes the call's state for a successor, or forgets it. A disk that takes nothing must not
// stop calls: they go on, and would not outlive this process.
func (c *Call) keep() {
	if c.state == stateOver {
		c.eng.states.Drop(c.id)
		return
	}
	w := c.eng.packers.Get().(*pack.Writer)
	defer c.eng.packers.Put(w)
	w.B = w.B[:0]
	c.pack(w)
	err := c.eng.states.Put(c.id, w.B)
	if failed := err != nil; c.eng.failing.Swap(failed) != failed && failed {
		c.log.Error("calls cannot be kept: they would be lost by a restart", "err", err)
	}
}

// pack writes all that a successor needs: established dialogs whole, and of what rings as much as
// it takes to end it in order.
func (c *Call) pack(w *pack.Writer) {
	w.Uint(stateVersion)
	w.String(c.startKey)
	w.Uint(uint64(c.state))
	packRecord(w, &c.rec)
	w.Bool(c.media.open)
	w.Strings(c.media.kinds)
	w.Uint(uint64(c.media.next))
	w.Bool(c.media.direct)
	(&ctl.MediaUpdated{Ports: c.media.ports}).Pack(w)
	invite := ""
	if c.a != nil && c.a.inviteIn != nil && c.a.inviteIn.in != nil && c.a.inviteIn.final == 0 {
		invite = c.a.inviteIn.in.Text()
	}
	w.String(invite)
	c.tape.pack(w)
	legs := c.allLegs()
	w.Uint(uint64(len(legs)))
	for _, l := range legs {
		w.Uint(uint64(c.seat(l)))
		l.pack(w)
	}
}

// Seats of a leg in its call.
const (
	seatGone = iota
	seatA
	seatB
	seatRinging
)

func (c *Call) seat(l *Leg) int {
	switch {
	case l == c.a:
		return seatA
	case l == c.b:
		return seatB
	case c.isBranch(l):
		return seatRinging
	}
	return seatGone
}

func packRecord(w *pack.Writer, r *record.Call) {
	for _, p := range [...]*record.Party{&r.Caller, &r.Callee} {
		packParty(w, p)
	}
	for _, s := range [...]string{r.CallID, r.Dialed, r.Status, r.Cause, r.EndedBy, r.Admin, r.Referred} {
		w.String(s)
	}
	for _, t := range [...]time.Time{r.Start, r.Ring, r.Answer, r.End} {
		w.Time(t)
	}
	w.Int(r.Code)
	w.Bool(r.Direct)
	w.Bool(r.EndToEnd)
}

func packParty(w *pack.Writer, p *record.Party) {
	for _, s := range [...]string{p.AoR, p.User, p.Number, p.Name} {
		w.String(s)
	}
}

func (l *Leg) pack(w *pack.Writer) {
	for _, s := range [...]string{
		l.id, l.role, l.callID, l.peerTag, l.local, l.remote, l.target, l.hop, l.userID, l.instance, l.contact, l.mediaID,
		l.userAgent, l.theirText, string(l.ourText), l.cause, l.startBranch,
	} {
		w.String(s)
	}
	w.Strings(l.routes)
	w.Bool(l.caller)
	w.Bool(l.gruu)
	w.Bool(l.done)
	w.Bool(l.feedback)
	w.Bool(l.added)
	w.Bool(l.secured)
	w.String(l.device)
	l.ours.Pack(w)
	for _, n := range [...]uint64{
		uint64(l.state), uint64(l.seq), uint64(l.peerSeq), l.branches, uint64(l.allow), uint64(l.supported), uint64(l.flow.Transport), l.origin.ID,
		l.origin.Version, uint64(l.startSeq), uint64(l.rel.seq), uint64(l.timer.seconds), uint64(l.n),
	} {
		w.Uint(n)
	}
	w.Bool(l.timer.ours)
	w.Addr(l.flow.Local)
	w.Addr(l.flow.Remote)
	for _, t := range [...]time.Time{l.start, l.ring, l.answer, l.endTime} {
		w.Time(t)
	}
	w.Int(l.code)
	packParty(w, &l.party)
	w.Uint(uint64(len(l.order)))
	for _, s := range l.order {
		w.Int(s)
	}
	w.Uint(uint64(len(l.layout)))
	for _, m := range l.layout {
		w.String(m.kind)
		w.String(m.proto)
		w.String(m.formats)
	}
	ringing := ""
	if l.inviteOut != nil {
		ringing = l.inviteOut.branch
	}
	w.String(ringing)
}

// restore makes the call of a kept state. It does nothing yet.
func (e *Engine) restore(id string, state []byte) error {
	r := &pack.Reader{B: state}
	if v := r.Uint(); v != stateVersion {
		return fmt.Errorf("state of version %d: %w", v, errVersion)
	}
	c := &Call{eng: e, id: id, startKey: r.String(), box: mailbox.New[event]()}
	c.log = e.log.With("call", c.id)
	c.state = statusState(r.Uint())
	unpackRecord(r, &c.rec)
	c.rec.ID = c.id
	c.media.open, c.media.kinds, c.media.next = r.Bool(), r.Strings(), int(r.Uint())
	c.media.direct, c.media.said = r.Bool(), map[string]string{}
	var ports ctl.MediaUpdated
	ports.Unpack(r)
	c.media.ports = ports.Ports
	invite := r.String()
	c.tape.unpack(r)
	for n := r.Len(); n > 0 && r.Err == nil; n-- {
		seat := r.Uint()
		c.sit(e.restoreLeg(r), int(seat))
	}
	if r.Err != nil {
		return r.Err
	}
	if c.a == nil && c.b == nil {
		return fmt.Errorf("a call without legs")
	}
	for _, l := range c.allLegs() {
		e.legs.put(l.id, c)
	}
	c.restoreInvite(invite)
	e.starts.put(c.startKey, c)
	e.calls[c.id] = c
	return nil
}

func statusState(v uint64) state { return state(min(v, uint64(stateOver))) }

func (c *Call) sit(l *Leg, seat int) {
	c.made = max(c.made, l.n)
	switch seat {
	case seatA:
		c.a = l
	case seatB:
		c.b = l
	case seatRinging:
		c.ringing = append(c.ringing, l)
	default:
		c.gone = append(c.gone, l)
	}
}

func unpackRecord(r *pack.Reader, rec *record.Call) {
	for _, p := range [...]*record.Party{&rec.Caller, &rec.Callee} {
		unpackParty(r, p)
	}
	for _, s := range [...]*string{&rec.CallID, &rec.Dialed, &rec.Status, &rec.Cause, &rec.EndedBy, &rec.Admin, &rec.Referred} {
		*s = r.String()
	}
	for _, t := range [...]*time.Time{&rec.Start, &rec.Ring, &rec.Answer, &rec.End} {
		*t = r.Time()
	}
	rec.Code, rec.Direct, rec.EndToEnd = r.Int(), r.Bool(), r.Bool()
}

func unpackParty(r *pack.Reader, p *record.Party) {
	for _, s := range [...]*string{&p.AoR, &p.User, &p.Number, &p.Name} {
		*s = r.String()
	}
}

func (e *Engine) restoreLeg(r *pack.Reader) *Leg {
	l := &Leg{lastSign: time.Now()}
	var ours string
	for _, s := range [...]*string{
		&l.id, &l.role, &l.callID, &l.peerTag, &l.local, &l.remote, &l.target, &l.hop, &l.userID, &l.instance, &l.contact, &l.mediaID,
		&l.userAgent, &l.theirText, &ours, &l.cause, &l.startBranch,
	} {
		*s = r.String()
	}
	l.ourText = []byte(ours)
	l.routes = r.Strings()
	l.caller, l.gruu, l.done = r.Bool(), r.Bool(), r.Bool()
	l.feedback, l.added, l.secured, l.device = r.Bool(), r.Bool(), r.Bool(), r.String()
	l.ours.Unpack(r)
	var n [13]uint64
	for i := range n {
		n[i] = r.Uint()
	}
	l.state, l.seq, l.peerSeq, l.branches = legState(n[0]), uint32(n[1]), uint32(n[2]), n[3]
	l.allow, l.supported = checked.Methods(n[4]), checked.Options(n[5])
	l.origin.ID, l.origin.Version, l.startSeq, l.rel.seq = n[7], n[8], uint32(n[9]), uint32(n[10])
	l.timer = sessionTimer{seconds: int(n[11]), ours: r.Bool()}
	l.n = int(n[12])
	local, remote := r.Addr(), r.Addr()
	l.flow = e.flowAgain(edge.Transport(n[6]), local, remote)
	for _, t := range [...]*time.Time{&l.start, &l.ring, &l.answer, &l.endTime} {
		*t = r.Time()
	}
	l.code = r.Int()
	unpackParty(r, &l.party)
	l.unpackMedia(r)
	return l
}

func (l *Leg) unpackMedia(r *pack.Reader) {
	for n := r.Len(); n > 0 && r.Err == nil; n-- {
		l.order = append(l.order, r.Int())
	}
	for n := r.Len(); n > 0 && r.Err == nil; n-- {
		l.layout = append(l.layout, mline{r.String(), r.String(), r.String()})
	}
	if branch := r.String(); branch != "" {
		l.inviteOut = &clientTx{leg: l, method: checked.INVITE, seq: l.seq, branch: branch, heard: true}
	}
	if l.theirText != "" {
		if s, err := sdp.Parse(l.theirText); err == nil {
			l.theirs = s
		}
	}
}

// flowAgain finds the way to a peer after a restart. A connection is gone: the leg waits for its
// device to register again.
func (e *Engine) flowAgain(t edge.Transport, local, remote netip.AddrPort) edge.Flow {
	if t == edge.UDP {
		if f, err := e.deps.Wire.FlowTo(t, local.Addr(), remote); err == nil {
			return f
		}
	}
	return edge.Flow{Transport: t, Local: local, Remote: remote}
}

// restoreInvite makes the caller's INVITE again that has no final response yet.
func (c *Call) restoreInvite(text string) {
	if text == "" || c.a == nil {
		return
	}
	in := &edge.Inbound{Flow: c.a.flow}
	if in.Read([]byte(text)) != nil || in.Check() != nil {
		return
	}
	c.a.inviteIn = &serverTx{leg: c.a, in: in, seq: in.CSeq}
}

// adopt goes on with a call after a restart: one that is up stays up, if its media does; one that
// rang is ended in order, since nobody knows what its branches said meanwhile.
func (c *Call) adopt() {
	switch c.state {
	case stateNew, stateRinging:
		for _, l := range c.ringing {
			if l.inviteOut != nil {
				c.cancelTx(l.inviteOut, nil)
				l.inviteOut.done = func(in *edge.Inbound) { c.cancelledBranch(l, in) }
				l.inviteOut.limit = c.after(timerB, func() { c.finishTx(l.inviteOut, nil) })
			}
		}
		c.rec.Status, c.rec.Cause, c.rec.EndedBy = record.CallFailed, "the switch was restarted while it rang", record.ByBox
		c.fail(&checked.Reply{Code: 500, Reason: "Server Internal Error", Header: "Retry-After: 1\r\n"})
	case stateUp:
		c.up.Store(true)
		c.adoptUp()
	case stateEnding:
		c.up.Store(true)
		for _, l := range c.allLegs() {
			if l.state == legConfirmed || (l.state == legEnded && !l.done && !l.answer.IsZero()) {
				l.state = legConfirmed // whether its BYE arrived is not known
				c.bye(l, c.reason)
			}
			l.inviteOut = nil
			l.done = true // a caller who was refused was told so
		}
		c.closeMedia()
		c.writeRecord()
	case stateOver:
	}
	c.changed()
}

func (c *Call) adoptUp() {
	for _, l := range [...]*Leg{c.a, c.b} {
		if l == nil { // it was given to a call that did not live to take it
			c.end(ending{by: record.ByBox, cause: "the switch was restarted during a transfer", code: 500})
			return
		}
		l.inviteOut = nil // a change that was under way: the peer asks again, or its INVITE runs out
		c.setTimer(l, l.timer.seconds, l.timer.ours)
	}
	for _, l := range c.gone {
		l.inviteOut = nil
		if l.state == legConfirmed {
			c.bye(l, nil)
		}
	}
	c.watchLife()
	c.recordAgain()
	c.log.Info("taken over after a restart", "caller", c.rec.Caller.User, "callee", c.rec.Callee.User)
}
