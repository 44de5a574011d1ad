package call

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/pbx/dialplan"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/pbx/push"
	"github.com/coraltele/sanchar/pkg/pbx/registrar"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/checked"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const domain = "pbx.test"

// rig is an engine whose peers are phones of a few lines, in virtual time.
type rig struct {
	t      *testing.T
	dir    string
	eng    *Engine
	cancel context.CancelFunc
	done   chan error
	relay  *fakeRelay
	users  map[string]*account.Account

	mu       sync.Mutex // guards what follows
	phones   map[netip.AddrPort]*phone
	bindings []registrar.Binding
	dead     map[netip.AddrPort]bool
	records  []record.Call
	events   []ctl.SwitchEvent
	messages []string // within calls, as "from to body"
	asleep   []registrar.Binding
	notes    []push.Note // that woke devices
	given    []string    // Call-IDs of those that were given up
	nobody   bool        // nobody wakes devices

	mediaRules map[string]ctl.MediaRules // by user; others have encryption off
	policy     ctl.RecordingPolicy
	local      netip.Addr // that leads to phones; none is the first one
}

func (r *rig) rules(userID string) ctl.MediaRules {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rules, ok := r.mediaRules[strings.TrimPrefix(userID, "id-")]; ok {
		return rules
	}
	return ctl.MediaRules{Encryption: ctl.EncryptionOff, Path: ctl.PathRelay, Transcoding: ctl.Off, Video: ctl.On, ZRTP: ctl.ZRTPPass}
}

// run runs a test in a bubble of virtual time.
func run(t *testing.T, test func(r *rig)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, dir: dir, phones: map[netip.AddrPort]*phone{}, dead: map[netip.AddrPort]bool{}, users: map[string]*account.Account{}, relay: newFakeRelay()}
		for i, name := range []string{"alice", "bob", "carol", "dave"} {
			r.users[name] = &account.Account{ID: "id-" + name, Name: name, Numbers: []string{fmt.Sprint(101 + i)}, DisplayName: strings.ToUpper(name[:1]) + name[1:]}
		}
		r.start()
		defer func() { r.stop() }()
		test(r)
	})
}

func (r *rig) start() {
	plan := &dialplan.Plan{Ours: func(h string) bool { return h == domain }, Lookup: func(name string) *account.Account {
		for _, a := range r.users {
			if a.Owns(name) {
				return a
			}
		}
		return nil
	}}
	eng, err := Open(r.dir, Deps{
		Log: slog.New(slog.DiscardHandler), Wire: r, Devices: r, Relay: r.relay, Waker: r, Plan: plan, Domain: func() string { return domain }, Product: "Test/1",
		Message: func(in *edge.Inbound, from, to string) {
			r.mu.Lock()
			r.messages = append(r.messages, from+" "+to+" "+in.Body)
			r.mu.Unlock()
			r.Reply(in, &checked.Reply{Code: 202, Reason: "Accepted"})
			r.Release(in)
		},
		Rules:  r.rules,
		User:   func(id string) *account.Account { return r.users[strings.TrimPrefix(id, "id-")] },
		Policy: func() *ctl.RecordingPolicy { return &r.policy },
		Record: func(rec record.Call, kept func()) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.records = append(r.records, rec)
			go kept()
		},
		Watch: func(ev ctl.SwitchEvent) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, ev)
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	eng.strict = true
	r.eng = eng
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.done = cancel, make(chan error, 1)
	go func() { r.done <- eng.Run(ctx) }()
	synctest.Wait()
}

func (r *rig) stop() {
	r.cancel()
	if err := <-r.done; err != nil {
		r.t.Error(err)
	}
}

// restart ends the engine as a crash would, as far as its peers can tell, and starts another.
func (r *rig) restart() {
	r.stop()
	r.start()
}

// The wire.

func (r *rig) Send(f edge.Flow, b []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.phones[f.Remote]
	if p == nil || r.dead[f.Remote] {
		return edge.ErrFlow
	}
	if !p.deaf {
		p.inbox = append(p.inbox, string(bytes.Clone(b)))
	}
	return nil
}

func (r *rig) Alive(f edge.Flow) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return f.Remote.IsValid() && !r.dead[f.Remote]
}

func (r *rig) SentBy(f edge.Flow) netip.AddrPort { return f.Local }

func (r *rig) LocalTowards(a netip.Addr) netip.Addr {
	if a.Is6() {
		return netip.MustParseAddr("2001:db8::10")
	}
	if r.local.IsValid() {
		return r.local
	}
	return box.Addr()
}

func (r *rig) Reply(in *edge.Inbound, reply *checked.Reply) {
	reply.From = in.Flow.Remote
	if reply.ToTag == "" {
		reply.ToTag = "stateless"
	}
	_ = r.Send(in.Flow, in.AppendReply(nil, reply))
}

func (r *rig) Release(*edge.Inbound) {}

func (r *rig) FlowTo(t edge.Transport, local netip.Addr, remote netip.AddrPort) (edge.Flow, error) {
	return edge.Flow{Transport: t, Local: netip.AddrPortFrom(local, 5060), Remote: remote}, nil
}

func (r *rig) Authentic(in *edge.Inbound) bool {
	if in.UserAgent == "stranger" {
		r.Reply(in, &checked.Reply{Code: 407, Reason: "Proxy Authentication Required"})
		return false
	}
	in.Account = r.users[in.From.URI.User]
	return true
}

// The devices.

func (r *rig) Lookup(userID string) (list []registrar.Binding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.bindings {
		if b.UserID == userID {
			list = append(list, b)
		}
	}
	slices.SortStableFunc(list, func(a, b registrar.Binding) int { return b.Q - a.Q })
	return list
}

func (r *rig) Device(userID, instance string) (registrar.Binding, bool) {
	for _, b := range r.Lookup(userID) {
		if b.Instance == instance && instance != "" {
			return b, true
		}
	}
	return registrar.Binding{}, false
}

func (r *rig) Flow(b *registrar.Binding) (edge.Flow, error) {
	f := edge.Flow{Transport: b.Transport, Local: b.Local, Remote: b.Remote}
	if !r.Alive(f) {
		return f, edge.ErrFlow
	}
	return f, nil
}

func (r *rig) Asleep(userID string) (list []registrar.Binding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.asleep {
		if b.UserID == userID {
			list = append(list, b)
		}
	}
	return list
}

// Who wakes them.

func (r *rig) Wake(_ push.Device, n push.Note) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.nobody {
		return false
	}
	r.notes = append(r.notes, n)
	return true
}

func (r *rig) Cancel(callID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.given = append(r.given, callID)
}

var box = netip.MustParseAddrPort("192.0.2.10:5060")

// phone is a peer that sends and receives texts.
type phone struct {
	r      *rig
	user   string
	flow   edge.Flow
	inbox  []string
	deaf   bool
	cseq   int
	callID string
	tag    string
	peer   string // To of requests in the dialog
	from   string // From of requests in the dialog
	target string
	invite string // latest INVITE received
	hello  string // head of the latest INVITE sent
}

// phone makes a device of a user, registered with a q in thousandths.
func (r *rig) phone(user string, q int, tr edge.Transport) *phone {
	r.mu.Lock()
	n := len(r.phones) + 1
	p := &phone{r: r, user: user, tag: fmt.Sprintf("%s%d", user, n), callID: fmt.Sprintf("call-%s-%d", user, n)}
	p.flow = edge.Flow{Transport: tr, Local: box, Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + n)}), 5060)}
	r.phones[p.flow.Remote] = p
	b := r.binding(p, q)
	r.bindings = append(r.bindings, b)
	r.mu.Unlock()
	r.eng.Bound(b)
	return p
}

func (r *rig) binding(p *phone, q int) registrar.Binding {
	return registrar.Binding{
		ID: "b-" + p.tag, UserID: "id-" + p.user, User: p.user, AoR: "sip:" + p.user + "@" + domain, Contact: p.contact(), Instance: "urn:uuid:" + p.tag, Q: q,
		Transport: p.flow.Transport, Local: p.flow.Local, Remote: p.flow.Remote,
	}
}

func (p *phone) contact() string { return "sip:" + p.user + "@" + p.flow.Remote.String() }

// send gives a message to the engine as the edge would.
func (p *phone) send(text string) {
	p.r.t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	body = strings.ReplaceAll(body, "\n", "\r\n")
	text = strings.ReplaceAll(strings.TrimSuffix(head, "\n"), "\n", "\r\n") + fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n", len(body)) + body
	in := &edge.Inbound{Flow: p.flow}
	if err := in.Read([]byte(text)); err != nil {
		p.r.t.Fatal(err)
	}
	in.Keep()
	if refusal := in.Check(); refusal != nil {
		p.r.t.Fatalf("the test's own message is refused: %+v\n%s", refusal, text)
	}
	in.Account = p.r.users[p.user]
	took := false
	if in.Status != 0 {
		took = p.r.eng.Response(in)
	} else {
		took = p.r.eng.Call(in)
	}
	if !took && in.Status == 0 && in.Method != checked.ACK {
		p.r.Reply(in, &checked.Reply{Code: 481, Reason: "Call/Transaction Does Not Exist"})
	}
	synctest.Wait()
}

// take returns the next message for the phone, "" if there is none.
func (p *phone) take() string {
	synctest.Wait()
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	if len(p.inbox) == 0 {
		return ""
	}
	m := p.inbox[0]
	p.inbox = p.inbox[1:]
	return m
}

// expect wants the next message to start with what, for instance "SIP/2.0 180" or "BYE".
func (p *phone) expect(what string) string {
	p.r.t.Helper()
	m := p.take()
	if !strings.HasPrefix(m, what) {
		p.r.t.Fatalf("%s: want %s, got %q", p.user, what, m)
	}
	if strings.HasPrefix(m, "INVITE") {
		p.invite = m
	}
	return m
}

// quiet wants no message to be there.
func (p *phone) quiet() {
	p.r.t.Helper()
	if m := p.take(); m != "" {
		p.r.t.Fatalf("%s: want nothing, got %q", p.user, m)
	}
}

func sdpOf(p *phone, port int, extra string) string {
	return fmt.Sprintf("v=0\no=%s %d 1 IN IP4 %s\ns=-\nc=IN IP4 %s\nt=0 0\nm=audio %d RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\n%s",
		p.user, port, p.flow.Remote.Addr(), p.flow.Remote.Addr(), port, extra)
}

func (p *phone) via() string {
	return fmt.Sprintf("Via: SIP/2.0/%s %s;branch=z9hG4bK-%s-%d;rport\n", p.flow.Transport, p.flow.Remote, p.tag, p.cseq)
}

// call sends an INVITE to a target; extra holds header lines, body SDP or nothing.
func (p *phone) call(target, extra, body string) {
	p.r.t.Helper()
	p.cseq++
	p.callID = fmt.Sprintf("call-%s-%d", p.tag, p.cseq)
	p.from = fmt.Sprintf("<sip:%s@%s>;tag=%s", p.user, domain, p.tag)
	p.hello = fmt.Sprintf("INVITE %s SIP/2.0\n%sMax-Forwards: 70\nFrom: %s\nTo: <%s>\nCall-ID: %s\nCSeq: %d INVITE\nContact: <%s>\nAllow: INVITE, ACK, BYE, CANCEL, UPDATE, INFO, PRACK\n%s",
		target, p.via(), p.from, target, p.callID, p.cseq, p.contact(), extra)
	p.send(p.hello + contentType(body))
}

func contentType(body string) string {
	if body == "" {
		return ""
	}
	return "Content-Type: application/sdp\n\n" + body
}

// learnDialog takes the dialog over from a response to our INVITE.
func (p *phone) learnDialog(response string) {
	p.peer = sipside.Header(response, "To")
	p.target = strings.Trim(sipside.Header(response, "Contact"), "<>")
}

// ack acknowledges a final response to our INVITE.
func (p *phone) ack(response, body string) {
	p.r.t.Helper()
	seq := sipside.Header(response, "CSeq")
	branch := fmt.Sprintf("-%s-%d", p.tag, p.cseq)
	if sipside.Status(response) < 300 {
		branch += "-ack"
		if c := sipside.Header(response, "Contact"); c != "" {
			p.learnDialog(response)
		}
	}
	p.send(fmt.Sprintf("ACK %s SIP/2.0\nVia: SIP/2.0/%s %s;branch=z9hG4bK%s\nFrom: %s\nTo: %s\nCall-ID: %s\nCSeq: %s\n%s",
		orElse(p.target, "sip:x@"+domain), p.flow.Transport, p.flow.Remote, branch, p.from, sipside.Header(response, "To"), p.callID,
		strings.Replace(seq, "INVITE", "ACK", 1), contentType(body)))
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// request sends a request in the dialog.
func (p *phone) request(method, extra, body string) {
	p.r.t.Helper()
	p.cseq++
	p.send(fmt.Sprintf("%s %s SIP/2.0\n%sMax-Forwards: 70\nFrom: %s\nTo: %s\nCall-ID: %s\nCSeq: %d %s\nContact: <%s>\n%s%s",
		method, p.target, p.via(), p.from, p.peer, p.callID, p.cseq, method, p.contact(), extra, contentType(body)))
}

// reply answers a request of the box.
func (p *phone) reply(request string, code int, extra, body string) {
	p.r.t.Helper()
	to := sipside.Header(request, "To")
	if !strings.Contains(to, ";tag=") && code > 100 {
		to += ";tag=" + p.tag
	}
	if strings.HasPrefix(request, "INVITE") && code > 100 {
		p.callID, p.from, p.peer = sipside.Header(request, "Call-ID"), to, sipside.Header(request, "From")
		p.target = strings.Trim(sipside.Header(request, "Contact"), "<>")
	}
	p.send(fmt.Sprintf("SIP/2.0 %d Test\nVia: %s\nFrom: %s\nTo: %s\nCall-ID: %s\nCSeq: %s\nContact: <%s>\nAllow: INVITE, ACK, BYE, CANCEL, UPDATE, INFO, PRACK\n%s%s",
		code, sipside.Header(request, "Via"), sipside.Header(request, "From"), to, sipside.Header(request, "Call-ID"), sipside.Header(request, "CSeq"),
		p.contact(), extra, contentType(body)))
}

// talk sets up a call between two phones.
func (r *rig) talk(a, b *phone) {
	r.t.Helper()
	a.call("sip:"+b.user+"@"+domain, "", sdpOf(a, 4000, ""))
	a.expect("SIP/2.0 100")
	inv := b.expect("INVITE")
	b.reply(inv, 180, "", "")
	a.expect("SIP/2.0 180")
	b.reply(inv, 200, "", sdpOf(b, 5000, ""))
	b.expect("ACK")
	ok := a.expect("SIP/2.0 200")
	a.ack(ok, "")
	a.quiet()
	b.quiet()
}

// only wants exactly one record and returns it.
func (r *rig) only() record.Call {
	r.t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.records) != 1 {
		r.t.Fatalf("%d records, want 1: %+v", len(r.records), r.records)
	}
	return r.records[0]
}

// empty wants no call and no session to be left.
func (r *rig) empty() {
	r.t.Helper()
	time.Sleep(40 * time.Second)
	synctest.Wait()
	if n := r.eng.Len(); n != 0 {
		r.t.Errorf("%d calls are left", n)
	}
	if n := r.relay.len(); n != 0 {
		r.t.Errorf("%d sessions are left", n)
	}
	for i := range r.eng.legs.shards {
		if n := len(r.eng.legs.shards[i].calls) + len(r.eng.starts.shards[i].calls); n != 0 {
			r.t.Errorf("%d table entries are left", n)
		}
	}
	if len(r.eng.ringing) != 0 {
		r.t.Errorf("%d users are still rung", len(r.eng.ringing))
	}
}

// fakeRelay stands for mediad: it gives ports and remembers who hears whom.
type fakeRelay struct {
	mu       sync.Mutex // guards what follows
	next     uint16
	sessions map[string]*fakeSession
	down     bool
	keyless  bool // it gives ports only
	closed   int

	acts      []string // what the recorder was told
	recording ctl.MediaRecord
	about     map[string]string
	plays     []string // what parties hear, as "leg sound language"
}

type fakeSession struct {
	legs    map[string]ctl.MediaLeg
	ports   map[string][]ctl.MediaPorts
	pairs   [][2]string
	started time.Time
}

func newFakeRelay() *fakeRelay { return &fakeRelay{next: 20000, sessions: map[string]*fakeSession{}} }

func (f *fakeRelay) len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sessions)
}

func (f *fakeRelay) portsLocked(s *fakeSession, leg ctl.MediaLeg, n int) ([]ctl.MediaPorts, error) {
	for _, other := range s.legs { // as many as the one that it is paired with
		n = max(n, len(other.Streams))
	}
	if have := s.ports[leg.ID]; len(have) > 0 && have[0].RTP.Addr() != leg.Local && leg.Local.IsValid() {
		s.ports[leg.ID] = nil // other sockets
	}
	for len(s.ports[leg.ID]) < n {
		s.ports[leg.ID] = append(s.ports[leg.ID], ctl.MediaPorts{RTP: netip.AddrPortFrom(leg.Local, f.next), RTCP: netip.AddrPortFrom(leg.Local, f.next+1)})
		f.next += 2
	}
	for i := range s.ports[leg.ID] {
		if err := f.keysLocked(&s.ports[leg.ID][i], &leg, i); err != nil {
			return nil, err
		}
	}
	return slices.Clone(s.ports[leg.ID]), nil
}

func (f *fakeRelay) Offer(_ context.Context, in ctl.MediaOffer) (out ctl.MediaOffered, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return out, context.DeadlineExceeded
	}
	s := f.sessions[in.Session]
	if s == nil {
		s = &fakeSession{legs: map[string]ctl.MediaLeg{}, ports: map[string][]ctl.MediaPorts{}, started: time.Now()}
		f.sessions[in.Session] = s
	}
	n := len(in.Leg.Streams)
	s.legs[in.Leg.ID], s.legs[in.Peer.ID] = in.Leg, in.Peer
	if out.Leg, err = f.portsLocked(s, in.Leg, n); err == nil {
		out.Peer, err = f.portsLocked(s, in.Peer, n)
	}
	return out, err
}

func (f *fakeRelay) Answer(_ context.Context, in ctl.MediaAnswer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sessions[in.Session]
	if s == nil || s.legs[in.Peer].ID == "" {
		return fmt.Errorf("no session or leg")
	}
	if _, err := f.portsLocked(s, in.Leg, len(in.Leg.Streams)); err != nil {
		return err
	}
	s.legs[in.Leg.ID] = in.Leg
	s.pairs = [][2]string{{in.Leg.ID, in.Peer}}
	return nil
}

func (f *fakeRelay) Update(_ context.Context, in ctl.MediaUpdate) (out ctl.MediaUpdated, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sessions[in.Session]
	if s == nil {
		return out, fmt.Errorf("no session")
	}
	out.Ports = map[string][]ctl.MediaPorts{}
	for _, l := range in.Legs {
		s.legs[l.ID] = l
		if out.Ports[l.ID], err = f.portsLocked(s, l, len(l.Streams)); err != nil {
			return out, err
		}
	}
	if in.Pairs != nil {
		s.pairs = in.Pairs
	}
	for _, id := range in.Drop {
		delete(s.legs, id)
	}
	return out, nil
}

func (f *fakeRelay) CloseSession(_ context.Context, in ctl.MediaClose) (out ctl.MediaClosed, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sessions[in.Session]
	if s == nil {
		return out, fmt.Errorf("no session")
	}
	delete(f.sessions, in.Session)
	f.closed++
	for id := range s.legs {
		out.Streams = append(out.Streams, ctl.StreamStats{Leg: id, Kind: "audio", Codec: "PCMU", PacketsIn: 50, MOS: 4.2})
	}
	return out, nil
}

func (f *fakeRelay) Sessions(context.Context) (out []ctl.MediaSession, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, s := range f.sessions {
		out = append(out, ctl.MediaSession{ID: id, Started: s.started})
	}
	return out, nil
}

// heard tells who hears whom in the only session: the RTP addresses of each pair, sorted.
func (r *rig) heard() string {
	r.relay.mu.Lock()
	defer r.relay.mu.Unlock()
	var pairs []string
	for _, s := range r.relay.sessions {
		for _, p := range s.pairs {
			ends := []string{}
			for _, id := range p {
				for _, st := range s.legs[id].Streams {
					ends = append(ends, fmt.Sprintf("%s/%s", st.RTP, st.Direction))
				}
			}
			slices.Sort(ends)
			pairs = append(pairs, strings.Join(ends, " "))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "; ")
}
