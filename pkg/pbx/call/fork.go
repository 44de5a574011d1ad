package call

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/pbx/dialplan"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/pbx/registrar"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/aor"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// Limits of ringing.
const (
	ringTime     = 180 * time.Second // nobody lets it ring longer; RFC 3261 §16.6 item 11 has Timer C above 3 minutes
	groupTime    = 10 * time.Second  // before devices of a lower q ring too
	maxBranches  = 64                // of one call, redirections and late devices included
	maxRedirects = 10                // of one call
)

// fork is what a call needs to know while it rings.
type fork struct {
	from      *Leg         // whose offer the branches get
	who       record.Party // who calls
	callee    record.Party // who is called
	user      *account.Account
	instance  string // of one device; "" for all
	waiting   []registrar.Binding
	group     *timer // the next group of waiting devices
	limit     *timer
	best      failure
	redirects int
	passed    []byte // header lines of the INVITE that go on
	forwards  int    // Max-Forwards
	hasOffer  bool
	waking    waking
	pushed    bool // the caller was told 110
	rung      bool // the caller was told 180
	branches  int
}

// failure is a final response that may go to the caller.
type failure struct {
	code   int
	reason string
	header []byte
}

// ringUser starts branches to the devices of a user.
func (c *Call) ringUser(d dialplan.Decision) {
	f := &c.fork
	f.user, f.instance = d.User, d.Instance
	bindings := c.eng.deps.Devices.Lookup(d.User.ID)
	if d.Instance != "" {
		bindings = nil
		if b, ok := c.eng.deps.Devices.Device(d.User.ID, d.Instance); ok {
			bindings = append(bindings, b)
		}
	}
	asleep := c.sleepers()
	if len(bindings) == 0 && len(asleep) == 0 {
		c.branchFailed(failure{code: 480, reason: "Temporarily Unavailable"})
		return
	}
	if c.transfer == nil {
		c.state = stateRinging
	}
	c.eng.ring(c, d.User.ID, true)
	if f.limit == nil {
		f.limit = c.after(ringTime, c.noAnswer)
	}
	f.waiting = append(f.waiting, bindings...)
	c.changed()
	for _, b := range asleep {
		c.wake(&b, ids.CallID())
	}
	c.nextGroup()
}

// nextGroup rings the devices of the highest q that have not rung (RFC 3261 §16.6).
func (c *Call) nextGroup() {
	f := &c.fork
	f.group.stop()
	if len(f.waiting) == 0 {
		c.settleFork()
		return
	}
	q := f.waiting[0].Q
	for len(f.waiting) > 0 && f.waiting[0].Q == q {
		b := f.waiting[0]
		f.waiting = f.waiting[1:]
		c.startBranch(&b)
	}
	if len(f.waiting) > 0 {
		f.group = c.after(groupTime, c.nextGroup)
	}
	c.settleFork()
}

// lateDevice rings a device that has registered since the call started to ring.
func (c *Call) lateDevice(b registrar.Binding) {
	if (c.state != stateRinging && c.transfer == nil) || c.fork.limit == nil || (c.fork.instance != "" && c.fork.instance != b.Instance) {
		return
	}
	for _, l := range append(append([]*Leg(nil), c.ringing...), c.gone...) {
		if l.ringTarget != b.ID || l.state == legEnded || !c.eng.deps.Wire.Alive(l.flow) {
			continue
		}
		if !l.unheard() || l.flow.Remote == b.Remote {
			return
		}
		c.cancelBranch(l, nil) // it sleeps no more, and is elsewhere
		c.retire(l)
	}
	c.startBranch(&b)
	c.settleFork()
}

// startBranch sends an INVITE to a device.
func (c *Call) startBranch(b *registrar.Binding) {
	flow, err := c.eng.deps.Devices.Flow(b)
	if err != nil && c.wake(b, ids.CallID()) {
		return
	}
	callID := c.awake(b.ID)
	if err != nil || c.fork.branches >= maxBranches {
		c.note(failure{code: 480, reason: "Temporarily Unavailable"}) // RFC 5626 §5.3: 430, which says to a caller no more than this
		return
	}
	c.fork.branches++
	l := c.newLeg(record.RoleCallee)
	l.flow, l.userID, l.instance, l.contact, l.ringTarget = flow, b.UserID, b.Instance, b.Contact, b.ID
	l.party = c.fork.callee
	l.userAgent = b.UserAgent
	l.target, l.hop, l.routes, l.startRoutes = b.Contact, "", b.Path, b.Path
	l.device = bindingName(b)
	if l.callID = callID; callID == "" {
		l.callID = ids.CallID()
	}
	l.local = c.callerAddress()
	l.remote = nameAddr(c.fork.callee.Name, "sip:"+aor.Escape(b.User)+"@"+c.eng.deps.Domain())
	c.ringing = append(c.ringing, l)
	if c.fork.hasOffer {
		c.prepare(l)
	}
	c.invite(l)
	c.wakeSilent(l, *b)
}

// callerAddress names the caller to the callee.
func (c *Call) callerAddress() string {
	return nameAddr(c.fork.who.Name, c.fork.who.AoR)
}

// invite sends the INVITE of a branch, with what the caller has offered.
func (c *Call) invite(l *Leg) {
	var body []byte
	if c.fork.hasOffer {
		var err error
		for body, err = c.firstOffer(l); errors.Is(err, errNoKeys) && len(l.asks) > 0; body, err = c.firstOffer(l) {
			c.freeRelay(l)
			c.takeAsk(l, c.negotiation(c.fork.from, l))
		}
		if err != nil {
			c.log.Warn("no media for a branch", "leg", l.id, "err", err)
			c.dropBranch(l, relayFailure(err))
			return
		}
	}
	extra := append([]byte(nil), c.fork.passed...)
	extra = append(append(append(extra, "P-Asserted-Identity: "...), c.callerAddress()...), "\r\n"...) // RFC 3325 §9.1
	extra = append(append(append(extra, "Allow: "...), checked.Handled.String()...), "\r\n"...)
	options := dialogOptions
	if !c.fork.hasOffer {
		options &^= checked.Rel100 // an offer in a reliable 183 would want its answer in the PRACK, before the caller has one
	}
	extra = append(append(append(extra, "Supported: "...), options.String()...), "\r\n"...)
	extra = append(strconv.AppendInt(append(extra, "Session-Expires: "...), int64(sessionTime/time.Second), 10), "\r\nMin-SE: 90\r\n"...)
	extra = append(extra, c.referred...)
	l.seq++
	tx := &clientTx{leg: l, method: checked.INVITE, seq: l.seq, branch: l.branch()}
	tx.b = c.buildRequest(l, outRequest{
		method: checked.INVITE, seq: tx.seq, branch: tx.branch, extra: extra, body: body, kind: typeSDP, forwards: c.fork.forwards,
	})
	tx.done = func(in *edge.Inbound) { c.branchAnswer(l, in) }
	l.inviteOut = tx
	c.startTx(tx)
}

// provisional takes a 1xx to an INVITE (RFC 3261 §13.2.2.1).
func (c *Call) provisional(tx *clientTx, in *edge.Inbound) {
	l := tx.leg
	c.awake(l.ringTarget)
	if in.Status == 100 || in.ToTag == "" || tx.cancels || l.state >= legConfirmed {
		return
	}
	if l.state == legTrying {
		l.state = legEarly
	}
	l.peerTag = in.ToTag
	l.routes = in.AppendRoutes(l.routes[:0:0], true)
	l.learn(&in.Message, c.eng)
	if in.Required&checked.Rel100 != 0 && in.RSeq != 0 && !c.acknowledge(l, in) {
		return
	}
	if c.isBranch(l) {
		c.tellProgress(l, in)
	}
}

func (c *Call) isBranch(l *Leg) bool {
	for _, b := range c.ringing {
		if b == l {
			return true
		}
	}
	return false
}

// tellProgress carries a branch's provisional response to the caller.
func (c *Call) tellProgress(l *Leg, in *edge.Inbound) {
	if in.Status == 180 && l.ring.IsZero() {
		l.ring = time.Now().UTC()
		if c.rec.Ring.IsZero() {
			c.rec.Ring = l.ring
			c.changed()
		}
	}
	tx := c.a.inviteIn
	if tx == nil || tx.final != 0 {
		c.transferProgress(in.Status, in.Reason)
		return
	}
	r := &checked.Reply{Code: in.Status, Reason: strings.Clone(in.Reason)}
	if in.HasSDP() && c.fork.hasOffer {
		body, refused := c.firstAnswer(l, in.Body)
		if refused == nil {
			r.Body, r.Type = body, typeSDP
		}
	}
	switch {
	case len(r.Body) == 0 && in.Status == 183:
		return // progress without media says nothing
	case len(r.Body) == 0 && in.Status == 180 && c.fork.rung:
		return
	}
	c.fork.rung = c.fork.rung || in.Status == 180
	c.progressToCaller(tx, r)
}

// branchAnswer takes the final response of a branch; nil when none came.
func (c *Call) branchAnswer(l *Leg, in *edge.Inbound) {
	if in != nil {
		c.awake(l.ringTarget)
	}
	switch {
	case in == nil:
		c.dropBranch(l, failure{code: 408, reason: "Request Timeout"})
	case in.Status < 300:
		c.branchWon(l, in)
	case in.Status < 400:
		c.redirected(l, in)
	case in.Status == 422 && l.inviteAgain == 0 && c.isBranch(l): // RFC 4028 §7.4
		l.inviteAgain++
		c.invite(l)
	case c.askAgain(l, in):
	default:
		c.dropBranch(l, failureOf(in))
		if in.Status >= 600 {
			c.refusedByAll(in.Status)
		}
	}
}

// failureOf keeps what the caller may hear of a device's refusal.
func failureOf(in *edge.Inbound) failure {
	f := failure{code: in.Status, reason: strings.Clone(in.Reason), header: reasonLine(in.ReasonHeader)}
	switch in.Status {
	case 401, 407, 421, 422, 423, 481, 483, 500, 501, 502, 503, 504, 505, 513:
		f.code, f.reason = 480, "Temporarily Unavailable" // between the box and the device; RFC 3261 §16.7 item 6 for 503
	}
	if in.Warning != "" {
		f.header = append(f.header, "Warning: "+in.Warning+"\r\n"...)
	}
	return f
}

// dropBranch ends a branch without success.
func (c *Call) dropBranch(l *Leg, f failure) {
	l.code, l.cause = f.code, f.reason
	c.retire(l)
	c.note(f)
	c.settleFork()
}

// retire moves a leg to those that are gone.
func (c *Call) retire(l *Leg) {
	for i, b := range c.ringing {
		if b == l {
			c.ringing = append(c.ringing[:i], c.ringing[i+1:]...)
			break
		}
	}
	if l.state != legConfirmed {
		l.state = legEnded
	}
	if l.endTime.IsZero() {
		l.endTime = time.Now().UTC()
	}
	for _, g := range c.gone {
		if g == l {
			return
		}
	}
	c.gone = append(c.gone, l)
}

// note keeps the better of two failures (RFC 3261 §16.7 item 6).
func (c *Call) note(f failure) {
	if c.fork.best.code == 0 || rank(f.code) > rank(c.fork.best.code) {
		c.fork.best = f
	}
}

// rank orders failures by what they tell the caller: a decision of the callee first, then what the
// caller could mend, then that somebody rang in vain, then that nobody is there.
func rank(code int) int {
	switch {
	case code >= 600:
		return 6
	case code == 486:
		return 5
	case code == 415 || code == 420 || code == 484 || code == 488:
		return 4
	case code == 408:
		return 3
	case code == 480:
		return 1
	}
	return 2
}

func (c *Call) branchFailed(f failure) {
	c.note(f)
	c.settleFork()
}

// settleFork decides when no branch is left.
func (c *Call) settleFork() {
	switch {
	case len(c.ringing) > 0:
	case len(c.fork.waiting) > 0:
		c.nextGroup()
	case len(c.fork.waking.callIDs) > 0:
	case c.transfer != nil && c.state == stateUp:
		c.transferFailed(c.fork.best)
	case c.state <= stateRinging:
		f := c.fork.best
		if f.code == 0 {
			f = failure{code: 480, reason: "Temporarily Unavailable"}
		}
		c.fail(&checked.Reply{Code: f.code, Reason: f.reason, Extra: f.header})
	}
}

// refusedByAll ends a fork in which one device has spoken for all (RFC 3261 §16.7 item 5).
func (c *Call) refusedByAll(code int) {
	c.fork.waiting = nil
	c.stopWaking()
	c.cancelBranches([]byte("Reason: SIP;cause=" + strconv.Itoa(code) + "\r\n"))
	for _, l := range append([]*Leg(nil), c.ringing...) {
		c.retire(l)
	}
	c.settleFork()
}

// noAnswer ends a call that has rung too long.
func (c *Call) noAnswer() {
	c.fork.waiting = nil
	c.stopWaking()
	c.fork.best = failure{code: 408, reason: "No Answer"}
	c.cancelBranches([]byte("Reason: SIP;cause=408;text=\"No answer\"\r\n"))
	for _, l := range append([]*Leg(nil), c.ringing...) {
		l.cause = "no answer"
		c.retire(l)
	}
	c.settleFork()
}
