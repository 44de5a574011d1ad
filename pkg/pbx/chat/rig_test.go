package chat

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/pbx/dialplan"
	"github.com/coraltele/sanchar/pkg/pbx/edge"
	"github.com/coraltele/sanchar/pkg/pbx/registrar"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/sip/checked"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const domain = "pbx.test"

// rig is an engine in a bubble of virtual time, with phones that the test plays.
type rig struct {
	t      *testing.T
	dir    string
	eng    *Engine
	cancel context.CancelFunc
	done   chan error
	users  map[string]*account.Account

	lookups atomic.Int64
	writes  atomic.Int64 // of records

	mu       sync.Mutex // guards what follows
	phones   []*phone
	bindings []registrar.Binding
	records  map[string]record.Message
	refuse   error // what records meet
	woken    []string
}

// phone is a device of a user.
type phone struct {
	r        *rig
	user     string
	instance string
	addr     netip.AddrPort
	tr       edge.Transport
	lost     bool // nothing gets there
	got      []string
	seq      int
}

// run runs a test in a bubble of virtual time.
func run(t *testing.T, test func(r *rig)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, dir: dir, users: map[string]*account.Account{}, records: map[string]record.Message{}}
		for i, name := range []string{"alice", "bob", "carol"} {
			r.users["id-"+name] = &account.Account{ID: "id-" + name, Name: name, Numbers: []string{fmt.Sprint(101 + i)}}
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
	eng := New(r.dir, Deps{
		Log: slog.New(slog.DiscardHandler), Wire: r, Out: r, Devices: r, Plan: plan, Domain: func() string { return domain }, Product: "Test/1",
		User:   func(id string) *account.Account { return r.users[id] },
		Record: r.record,
		Wake: func(userID, instance string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.woken = append(r.woken, userID+" "+instance)
		},
	})
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

func (r *rig) restart() {
	r.stop()
	r.start()
	time.Sleep(time.Second)
}

func (r *rig) record(rec record.Message, kept func(error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse == nil {
		r.records[rec.ID] = rec
	}
	r.writes.Add(1)
	err := r.refuse
	go kept(err)
}

// The wire.

func (r *rig) Send(f edge.Flow, b []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.phones {
		if p.addr == f.Remote {
			if p.lost && p.tr.Reliable() {
				return edge.ErrFlow
			}
			if !p.lost {
				p.got = append(p.got, string(b))
			}
			return nil
		}
	}
	return edge.ErrFlow
}

func (r *rig) SentBy(edge.Flow) netip.AddrPort { return netip.MustParseAddrPort("192.0.2.1:5060") }

func (r *rig) Reply(in *edge.Inbound, reply *checked.Reply) {
	r.Add(in.Flow, r.Answer(in, reply))
}

func (r *rig) Answer(in *edge.Inbound, reply *checked.Reply) *[]byte {
	reply.From, reply.ToTag = in.Flow.Remote, "box"
	b := in.AppendReply(nil, reply)
	return &b
}

func (r *rig) Release(*edge.Inbound) {}

func (r *rig) Add(f edge.Flow, buf *[]byte) { _ = r.Send(f, *buf) }

func (r *rig) Flush() {}

// The registrar.

func (r *rig) Lookup(userID string) (list []registrar.Binding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookups.Add(1)
	for _, b := range r.bindings {
		if b.UserID == userID {
			list = append(list, b)
		}
	}
	return list
}

func (r *rig) Flow(b *registrar.Binding) (edge.Flow, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.phones {
		if p.addr == b.Remote && p.lost && p.tr.Reliable() {
			return edge.Flow{Transport: p.tr}, edge.ErrFlow
		}
	}
	return edge.Flow{Transport: b.Transport, Remote: b.Remote}, nil
}

// phone makes a device of a user over TCP, and registers it.
func (r *rig) phone(user string) *phone { return r.device(user, edge.TCP) }

func (r *rig) device(user string, tr edge.Transport) *phone {
	r.t.Helper()
	n := len(r.phones) + 1
	p := &phone{r: r, user: user, tr: tr, instance: fmt.Sprint("urn:uuid:", n), addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n + 1)}), 5060)}
	r.mu.Lock()
	r.phones = append(r.phones, p)
	r.mu.Unlock()
	p.register()
	return p
}

func (p *phone) binding() registrar.Binding {
	return registrar.Binding{
		ID: p.instance, UserID: "id-" + p.user, User: p.user, Contact: "sip:" + p.user + "@" + p.addr.String(), Instance: p.instance, Transport: p.tr,
		Remote: p.addr, Refreshed: time.Now(),
	}
}

// register tells the box that the phone is there.
func (p *phone) register() {
	b := p.binding()
	p.r.mu.Lock()
	p.lost = false
	p.r.bindings = append(slices.DeleteFunc(p.r.bindings, func(x registrar.Binding) bool { return x.ID == b.ID }), b)
	p.r.mu.Unlock()
	p.r.eng.Bound(b)
	time.Sleep(100 * time.Millisecond)
}

// leave takes the registration back.
func (p *phone) leave() {
	b := p.binding()
	p.r.mu.Lock()
	p.lost = true
	p.r.bindings = slices.DeleteFunc(p.r.bindings, func(x registrar.Binding) bool { return x.ID == b.ID })
	p.r.mu.Unlock()
	p.r.eng.Gone(b)
	time.Sleep(100 * time.Millisecond)
}

// deafen makes the phone hear nothing, or hear again.
func (p *phone) deafen(on bool) {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	p.lost = on
}

// mail is what a test sends.
type mail struct {
	to     string // user part, "bob" if none
	callID string // a new one if none
	cseq   int
	head   string // further lines
	kind   string // "text/plain" if none
	body   string
}

// send sends a MESSAGE and returns its Call-ID.
func (p *phone) send(m mail) (callID string) {
	p.r.t.Helper()
	p.seq++
	if m.to == "" {
		m.to = "bob"
	}
	if m.callID == "" {
		m.callID = fmt.Sprint(p.user, p.instance, "-", p.seq)
	}
	if m.cseq == 0 {
		m.cseq = 21
	}
	if m.kind == "" {
		m.kind = "text/plain"
	}
	text := fmt.Sprintf("MESSAGE sip:%[1]s@%[2]s SIP/2.0\r\nVia: SIP/2.0/TCP %[3]s;branch=z9hG4bK%[4]s;rport\r\nMax-Forwards: 70\r\nFrom: <sip:%[5]s@%[2]s>;tag=t%[4]s\r\nTo: sip:%[1]s@%[2]s\r\nCall-ID: %[4]s\r\nCSeq: %[6]d MESSAGE\r\n%[7]sContent-Type: %[8]s\r\nContent-Length: %[9]d\r\n\r\n%[10]s",
		m.to, domain, p.addr, m.callID, p.user, m.cseq, strings.ReplaceAll(m.head, "\n", "\r\n"), m.kind, len(m.body), m.body)
	in := p.r.read(text, p)
	in.Account = p.r.users["id-"+p.user]
	p.r.eng.Message(in)
	time.Sleep(100 * time.Millisecond)
	return m.callID
}

func (r *rig) read(text string, p *phone) *edge.Inbound {
	r.t.Helper()
	in := &edge.Inbound{Flow: edge.Flow{Transport: p.tr, Remote: p.addr}}
	if err := in.Read([]byte(text)); err != nil {
		r.t.Fatal(err)
	}
	if refusal := in.Check(); refusal != nil {
		r.t.Fatalf("%s\nis refused: %+v", text, refusal)
	}
	return in
}

// next returns the next thing that the phone got, "" if there is none.
func (p *phone) next() string {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	if len(p.got) == 0 {
		return ""
	}
	one := p.got[0]
	p.got = p.got[1:]
	return one
}

// answer wants an answer of this status.
func (p *phone) answer(code int) {
	p.r.t.Helper()
	if got := p.next(); sipside.Status(got) != code {
		p.r.t.Fatalf("%s got %q, not a %d", p.user, got, code)
	}
}

// gets wants a MESSAGE with this body, leaves it unanswered and returns it.
func (p *phone) gets(body string) string {
	p.r.t.Helper()
	got := p.next()
	if !strings.HasPrefix(got, "MESSAGE "+p.binding().Contact+" SIP/2.0\r\n") || !strings.HasSuffix(got, "\r\n\r\n"+body) {
		p.r.t.Fatalf("%s (%s) got %q, not a MESSAGE %q", p.user, p.instance, got, body)
	}
	return got
}

// reply answers a MESSAGE that the phone got.
func (p *phone) reply(request string, code int) {
	p.r.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d Text\r\n", code)
	for _, name := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		fmt.Fprintf(&b, "%s: %s\r\n", name, sipside.Header(request, name))
	}
	b.WriteString("Content-Length: 0\r\n\r\n")
	p.r.eng.Response(p.r.read(b.String(), p))
	time.Sleep(100 * time.Millisecond)
}

// takes wants a MESSAGE with this body and answers 200.
func (p *phone) takes(body string) string {
	p.r.t.Helper()
	got := p.gets(body)
	p.reply(got, 200)
	return got
}

// quiet wants that the phone got nothing more.
func (p *phone) quiet() {
	p.r.t.Helper()
	if got := p.next(); got != "" {
		p.r.t.Fatalf("%s (%s) got %q", p.user, p.instance, got)
	}
}

// find waits until records are written and returns the one that matches.
func (r *rig) find(match func(*record.Message) bool) record.Message {
	r.t.Helper()
	time.Sleep(3 * recordEvery)
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []record.Message
	for _, rec := range r.records {
		if match(&rec) {
			found = append(found, rec)
		}
	}
	if len(found) != 1 {
		r.t.Fatalf("%d records match, of %+v", len(found), r.records)
	}
	return found[0]
}

// recorded returns how many messages have a record.
func (r *rig) recorded() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.records)
}

// asked returns which devices were asked to come.
func (r *rig) asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.woken)
}

func (r *rig) byText(text string) record.Message {
	r.t.Helper()
	return r.find(func(m *record.Message) bool { return m.Text == text })
}

var errDisk = errors.New("no space")

// deflate makes a zlib stream, as Linphone does.
func deflate(b []byte) []byte {
	var buf bytes.Buffer
	z := zlib.NewWriter(&buf)
	_, _ = z.Write(b) // a buffer takes all
	_ = z.Close()
	return buf.Bytes()
}
