package call

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/pbx/recording"
	"github.com/coraltele/sanchar/pkg/pbx/terms"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/aor"
	"github.com/coraltele/sanchar/pkg/sip/checked"
	"github.com/coraltele/sanchar/pkg/sip/gruu"
	"github.com/coraltele/sanchar/pkg/sip/sdp"
)

// legState is how far a dialog is.
type legState uint8

const (
	legTrying    legState = iota // no dialog yet
	legEarly                     // a provisional response made one (RFC 3261 §12)
	legConfirmed                 // answered
	legEnded
)

// Leg is one dialog of a call, seen from the box.
type Leg struct {
	id          string // our tag
	n           int    // the legs of a call in the order that they were made
	role        string // record.Role*
	caller      bool   // the peer sent the INVITE that made the dialog
	state       legState
	callID      string
	peerTag     string
	local       string // our side of From and To, without tag
	remote      string // the peer's side, without tag
	target      string // remote target: the peer's Contact
	hop         string // Request-URI that reaches the target, where that is a GRUU of ours
	routes      []string
	flow        edge.Flow
	userID      string
	instance    string // of the device
	gruu        bool   // the peer's Contact is a GRUU of ours
	contact     string // of the binding that was called
	startSeq    uint32 // of the INVITE that came first
	startBranch string // of its Via
	seq         uint32 // of our latest request
	peerSeq     uint32 // of the peer's latest request that was handled
	branches    uint64 // counts our requests
	allow       checked.Methods
	supported   checked.Options

	inviteOut *clientTx // our INVITE without final response
	asking    *clientTx // the last by which the party was asked for its media again
	inviteIn  *serverTx // the peer's INVITE without ACK
	requests  []*clientTx
	ack       []byte // of the latest final response to an INVITE of ours, to send again
	ackSeq    uint32
	answered  lastReply
	rel       reliable
	timer     sessionTimer

	mediaID     string // of the relay's leg; branches that see the same address in the same terms share one
	ours        ctl.MediaTerms
	continues   string      // the relay leg that it was in another call
	feedback    bool        // our offers are of a profile with early feedback
	added       bool        // our offers have codecs that the box can turn into the other side's
	asks        []terms.Ask // that are left, should it refuse
	device      string      // what is known of it is known by this name
	startRoutes []string    // of the binding that was called
	rules       *ctl.MediaRules
	secured     bool  // mediad has heard authentic packets
	order       []int // session stream of each m-line
	layout      []mline
	theirs      *sdp.Session // what the peer said last
	theirText   string
	ourText     []byte // what we said last
	origin      sdp.Origin
	done        bool // nothing more is to be said
	unreachable bool
	silent      bool   // mediad hears nothing where it should
	hears       string // what the box plays to it; "" for nothing
	healed      int    // how often it was asked anew for its media
	keys        recording.Keys
	lastSign    time.Time

	party       record.Party
	userAgent   string
	ringTarget  string // id of the binding that was called
	inviteAgain int    // how often its INVITE was sent anew after a 422
	start       time.Time
	ring        time.Time
	answer      time.Time
	endTime     time.Time
	code        int
	cause       string
	streamStats []ctl.StreamStats
}

// mline is what must stay of an m-line while the dialog lives (RFC 3264 §8).
type mline struct{ kind, proto, formats string }

// lastReply is the answer to the peer's latest request, for its retransmissions.
type lastReply struct {
	seq    uint32
	method checked.Method
	b      []byte
}

func (c *Call) newLeg(role string) *Leg {
	now := time.Now()
	c.made++
	l := &Leg{id: ids.Tag(), n: c.made, role: role, start: now.UTC(), lastSign: now}
	l.origin.ID = uint64(now.UnixNano()) >> 10
	c.eng.legs.put(l.id, c)
	return l
}

// legOf finds the leg's id in a branch of ours.
func legOf(branch string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(branch, checked.Cookie)
	if !ok {
		return "", false
	}
	id, _, ok = strings.Cut(rest, ".")
	return id, ok
}

func (l *Leg) branch() string {
	l.branches++
	return checked.Cookie + l.id + "." + strconv.FormatUint(l.branches, 36)
}

// requestURI returns where in-dialog requests are addressed. A GRUU of ours is resolved: the device
// knows itself by its contact (RFC 5627 §5.1).
func (l *Leg) requestURI() string {
	if l.hop != "" {
		return l.hop
	}
	return l.target
}

// outRequest is a request that we build.
type outRequest struct {
	method checked.Method
	seq    uint32
	branch string
	extra  []byte // header lines
	body   []byte
	kind   string // Content-Type of body

	forwards int // Max-Forwards; 0 for a request that starts here
}

// buildRequest writes a request on the leg (RFC 3261 §8.1.1, §12.2.1.1).
func (c *Call) buildRequest(l *Leg, r outRequest) []byte {
	b := make([]byte, 0, 640+len(r.extra)+len(r.body))
	b = append(append(append(append(b, r.method.String()...), ' '), l.requestURI()...), " SIP/2.0\r\n"...)
	sentBy := c.eng.deps.Wire.SentBy(l.flow)
	b = l.flow.AppendVia(b, sentBy, r.branch)
	if r.forwards == 0 {
		r.forwards = 70 // RFC 3261 §8.1.1.6
	}
	b = append(strconv.AppendInt(append(b, "Max-Forwards: "...), int64(r.forwards), 10), "\r\n"...)
	for _, route := range l.routes {
		b = append(append(append(b, "Route: "...), route...), "\r\n"...)
	}
	b = append(append(append(append(append(b, "From: "...), l.local...), ";tag="...), l.id...), "\r\nTo: "...)
	b = append(b, l.remote...)
	if l.peerTag != "" {
		b = append(append(b, ";tag="...), l.peerTag...)
	}
	b = append(append(append(b, "\r\nCall-ID: "...), l.callID...), "\r\nCSeq: "...)
	b = append(append(append(strconv.AppendUint(b, uint64(r.seq), 10), ' '), r.method.String()...), "\r\n"...)
	if r.method != checked.CANCEL && r.method != checked.BYE {
		b = c.appendContact(b, l, sentBy)
	}
	b = append(append(append(b, "User-Agent: "...), c.eng.deps.Product...), "\r\n"...)
	b = append(b, r.extra...)
	return appendBody(b, r.body, r.kind)
}

func appendBody(b, body []byte, kind string) []byte {
	if len(body) > 0 {
		b = append(append(append(b, "Content-Type: "...), kind...), "\r\n"...)
	}
	b = strconv.AppendInt(append(b, "Content-Length: "...), int64(len(body)), 10)
	return append(append(b, "\r\n\r\n"...), body...)
}

// appendContact writes our Contact: the address that the peer knows us by, and the leg.
func (c *Call) appendContact(b []byte, l *Leg, sentBy netip.AddrPort) []byte {
	b = append(append(append(b, "Contact: <sip:"...), l.id...), '@')
	host := sentBy.Addr().Unmap().WithZone("")
	if host.Is6() {
		b = append(host.AppendTo(append(b, '[')), ']')
	} else {
		b = host.AppendTo(b)
	}
	b = strconv.AppendUint(append(b, ':'), uint64(sentBy.Port()), 10)
	if l.flow.Transport != edge.UDP {
		b = append(append(b, ";transport="...), l.flow.Transport.Param()...)
	}
	return append(b, ">\r\n"...)
}

// nextRequest sends a request in the dialog and calls done with its final response, or with nil
// when none comes.
func (c *Call) nextRequest(l *Leg, r outRequest, done func(*edge.Inbound)) *clientTx {
	l.seq++
	r.seq, r.branch = l.seq, l.branch()
	tx := &clientTx{leg: l, method: r.method, seq: r.seq, branch: r.branch, done: done}
	tx.b = c.buildRequest(l, r)
	if r.method == checked.INVITE {
		l.inviteOut = tx
	} else {
		l.requests = append(l.requests, tx)
	}
	c.startTx(tx)
	return tx
}

// learn takes over what a dialog-making or target-refreshing message says of the peer
// (RFC 3261 §12.1, §12.2.1.2).
func (l *Leg) learn(m *checked.Message, eng *Engine) {
	if contact := m.Contact(); contact != "" {
		l.target, l.hop, l.gruu = contact, "", false
		u := &m.Contacts[0].URI
		if instance, ok := gruu.Instance(u); ok && eng.own(u) {
			l.gruu = true
			if l.instance == "" {
				l.instance = instance
			}
			l.hop = l.contact
			if b, ok := eng.deps.Devices.Device(l.userID, instance); ok {
				l.hop = b.Contact
			}
		}
	}
	if m.Allow != 0 {
		l.allow = m.Allow
	}
	if m.Supported != 0 {
		l.supported = m.Supported
	}
	if m.UserAgent != "" {
		l.userAgent = m.UserAgent
	}
	l.lastSign = time.Now()
}

// nameAddr writes an address for From or To.
func nameAddr(display, uri string) string {
	if display == "" {
		return "<" + uri + ">"
	}
	return aor.Quote(display) + " <" + uri + ">"
}

// withoutTag returns a From or To value without its tag and other parameters of the header.
func withoutTag(a *aor.Address) string {
	if a.Display == "" {
		return "<" + a.Spec + ">"
	}
	return a.Display + " <" + a.Spec + ">"
}

// record returns the leg's part of the call record.
func (l *Leg) record() record.Leg {
	r := record.Leg{
		Role: l.role, Party: l.party, CallID: l.callID, Contact: l.target, Remote: l.flow.Remote, Transport: l.flow.Transport.Param(),
		UserAgent: l.userAgent, Start: l.start, Ring: l.ring, Answer: l.answer, End: l.endTime, Code: l.code, Cause: l.cause,
	}
	if !l.answer.IsZero() {
		r.Secured = protection(l.ours.Protection)
	}
	for i := range l.streamStats {
		r.Streams = append(r.Streams, streamRecord(&l.streamStats[i]))
	}
	return r
}

func protection(p ctl.Protection) string {
	if p == ctl.Plain {
		return record.ProtectionNone
	}
	return string(p)
}

func streamRecord(s *ctl.StreamStats) record.Stream {
	r := record.Stream{
		Kind: s.Kind, Codec: s.Codec, Remote: s.Remote, PacketsIn: s.PacketsIn, PacketsOut: s.PacketsOut, LostIn: s.LostIn, LostOut: s.LostOut,
		JitterIn: s.JitterIn, JitterOut: s.JitterOut, RoundTrip: s.RoundTrip, MOS: s.MOS, Unmeasured: s.Unmeasured,
		Suite: s.Suite, ZRTP: s.ZRTP, Direct: s.Direct, Transcoded: s.Transcoded, Refused: s.Refused,
	}
	for _, f := range s.Faults {
		r.Faults = append(r.Faults, record.Fault{At: f.At, Cause: f.Cause, Text: f.Text, Cure: f.Cure})
	}
	return r
}
