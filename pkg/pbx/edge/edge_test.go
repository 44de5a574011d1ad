package edge

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/pbx/account"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/notify"
	"github.com/coraltele/sanchar/pkg/platform/pki"
	"github.com/coraltele/sanchar/pkg/sip/checked"
	"github.com/coraltele/sanchar/pkg/sip/digest"
	"github.com/coraltele/sanchar/pkg/testkit/torture"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const domain = "pbx.test"

type rig struct {
	edge     *Edge
	failures atomic.Int32
	register atomic.Int32
	calls    atomic.Int32
	onCall   atomic.Pointer[func(*Inbound) bool]
}

func serverTLS(t testing.TB) *tls.Config {
	t.Helper()
	dir := t.TempDir()
	ca, err := pki.OpenCA(dir, nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(_ context.Context, names []string, ips []netip.Addr, pub *ecdsa.PublicKey) ([]byte, error) {
		return ca.Issue(names, ips, pub)
	}
	srv, err := pki.OpenServer(dir, nil, issue, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv.SetNames([]string{domain}, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
	if err := srv.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	return srv.TLSConfig()
}

func newRig(t testing.TB, limits bool) *rig {
	t.Helper()
	return newRigOf(t, rigOptions{limits: limits, domain: domain, strict: true})
}

type rigOptions struct {
	limits, strict bool
	domain         string
}

func newRigOf(t testing.TB, o rigOptions) *rig {
	t.Helper()
	dir, err := account.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.SetDomain(domain); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Add(ctl.NewUser{UserSpec: ctl.UserSpec{Name: "alice"}, Secret: ctl.Secret{Password: "right-password"}}); err != nil {
		t.Fatal(err)
	}
	r := &rig{}
	ours := func(host string) bool { return host == domain || r.edge.IsOurs(host) }
	n := &notify.Notifier{}
	r.edge = New(Config{
		Bind: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}, TLS: serverTLS(t), Limits: o.limits, Product: "Test/1",
		Owns: func(netip.Addr) bool { return false },
	}, Deps{Log: slog.New(slog.DiscardHandler), Notify: n, Guard: account.NewGuard(dir, ours, time.Now), Domain: func() string { return o.domain }})
	r.edge.strict = o.strict
	r.edge.Handle(Handlers{
		Register: func(in *Inbound) {
			r.register.Add(1)
			in.Flow.Proven()
			r.edge.Reply(in, &checked.Reply{Code: 200, Reason: "OK"})
		},
		Call: func(in *Inbound) bool {
			r.calls.Add(1)
			if f := r.onCall.Load(); f != nil {
				return (*f)(in)
			}
			return false
		},
		Response: func(*Inbound) bool { return false },
		Failed:   func(*Inbound, account.Verdict) { r.failures.Add(1) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	if err := r.edge.Listen(ctx, nil); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- r.edge.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := r.edge.Close(); err != nil {
			t.Error(err)
		}
		_ = dir.Close() // nothing writes any more
	})
	return r
}

func (r *rig) port(tr Transport, v4 bool) netip.AddrPort {
	for _, l := range r.edge.Listening() {
		if l.Transport == tr && l.Local.Addr().Is4() == v4 {
			return l.Local
		}
	}
	panic("not listening")
}

// dial connects as a peer over a transport.
func (r *rig) dial(t testing.TB, tr Transport, v4 bool) net.Conn {
	t.Helper()
	to := r.port(tr, v4).String()
	var c net.Conn
	var err error
	switch tr {
	case UDP:
		c, err = net.Dial("udp", to)
	case TCP:
		c, err = net.Dial("tcp", to)
	case TLS:
		c, err = tls.Dial("tcp", to, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the certificate is tested in pki
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask sends text and returns what comes back, "" if nothing does in time.
func ask(t testing.TB, c net.Conn, text string, wait time.Duration) string {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 65536)
	_ = c.SetReadDeadline(time.Now().Add(wait))
	n, err := c.Read(buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

func status(reply string) int {
	var code int
	_, _ = fmt.Sscanf(reply, "SIP/2.0 %d", &code)
	return code
}

func request(method, target, extra string) string {
	return fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK%d;rport\r\nFrom: <sip:alice@pbx.test>;tag=1\r\nTo: <sip:alice@pbx.test>\r\n"+
		"Call-ID: %s\r\nCSeq: 1 %s\r\nMax-Forwards: 70\r\n%sContent-Length: 0\r\n\r\n", method, target, time.Now().UnixNano(), target, method, extra)
}

const answerTime = 3 * time.Second

func TestOptionsOnEveryTransport(t *testing.T) {
	r := newRig(t, true)
	for _, tr := range []Transport{UDP, TCP, TLS} {
		for _, v4 := range []bool{true, false} {
			c := r.dial(t, tr, v4)
			got := ask(t, c, request("OPTIONS", "sip:pbx.test", ""), answerTime)
			if status(got) != 200 || !strings.Contains(got, "Allow: INVITE, ACK") {
				t.Errorf("%s v4=%v: %q", tr, v4, got)
			}
			port := c.LocalAddr().String()
			port = port[strings.LastIndexByte(port, ':')+1:]
			if !strings.Contains(got, ";rport="+port) {
				t.Errorf("%s v4=%v: rport is not %s: %q", tr, v4, port, got)
			}
		}
	}
}

func TestKeepAliveIsAnswered(t *testing.T) {
	r := newRig(t, true)
	for _, tr := range []Transport{TCP, TLS} {
		if got := ask(t, r.dial(t, tr, true), "\r\n\r\n", answerTime); got != "\r\n" {
			t.Errorf("%s: %q", tr, got)
		}
	}
	if got := ask(t, r.dial(t, UDP, true), "\r\n\r\n", 50*time.Millisecond); got != "" {
		t.Errorf("a datagram of line ends was answered: %q", got)
	}
}

// The running edge gives the answers that the RFCs want; what is in order is challenged, and
// silence is kept where an answer would be wrong: a later ping is answered first.
func TestTortureMessagesAgainstTheEdge(t *testing.T) {
	r := newRig(t, false)
	for _, tr := range []Transport{UDP, TCP} {
		for _, c := range torture.Load(t) {
			if tr == TCP && (c.Name == "clerr" || c.Name == "baddn") {
				continue // a stream waits for the rest
			}
			conn := r.dial(t, tr, true)
			want := []int{c.Want}
			if c.Want == 0 {
				want = []int{401, 407, 481}
				if bytes.HasPrefix(c.Text, []byte("SIP/2.0")) {
					want = nil
				}
			}
			if c.Want == torture.Silence {
				want = nil
			}
			ping := request("OPTIONS", "sip:pbx.test", "X-Ping: 1\r\n")
			got := ask(t, conn, string(c.Text)+map[bool]string{true: ping, false: ""}[tr == TCP && want == nil && c.Name != "bigcode"], map[bool]time.Duration{true: answerTime, false: 30 * time.Millisecond}[want != nil])
			if want == nil {
				if got != "" && !strings.Contains(got, "sip:pbx.test\r\nCSeq: 1 OPTIONS") {
					t.Errorf("%s over %s was answered: %q", c.Name, tr, got)
				}
				continue
			}
			code := status(got)
			fits := false
			for _, w := range want {
				fits = fits || code == w
			}
			if !fits {
				t.Errorf("%s over %s: %d, want %v (%s)\n%s", c.Name, tr, code, want, c.Why, got)
			}
			if code == 501 && !strings.Contains(got, "Allow: ") || code == 420 && !strings.Contains(got, "Unsupported: nothingSupportsThis") {
				t.Errorf("%s over %s lacks a header: %q", c.Name, tr, got)
			}
		}
	}
}

// authorize answers the challenge in reply.
func authorize(method, target, reply, password string) string {
	_, rest, _ := strings.Cut(reply, `nonce="`)
	nonce, _, _ := strings.Cut(rest, `"`)
	c := digest.Credentials{Username: "alice", Realm: domain, Nonce: nonce, URI: target, CNonce: "c", NC: "00000001"}
	if strings.Contains(reply, "SHA-256") {
		c.Algorithm = digest.SHA256
	}
	name := map[bool]string{true: "Authorization", false: "Proxy-Authorization"}[method == "REGISTER"]
	return request(method, target, fmt.Sprintf("%s: Digest username=\"alice\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", response=\"%s\", algorithm=%s, cnonce=\"c\", nc=00000001, qop=auth\r\n",
		name, domain, nonce, target, c.Answer(digest.HA1(c.Algorithm, "alice", domain, password), method), c.Algorithm))
}

func TestOnlyWhoProvesHimselfPasses(t *testing.T) {
	r := newRig(t, true)
	for _, tr := range []Transport{UDP, TCP, TLS} {
		c := r.dial(t, tr, true)
		challenge := ask(t, c, request("REGISTER", "sip:pbx.test", ""), answerTime)
		if status(challenge) != 401 || strings.Contains(challenge, "SHA-256") != (tr == TLS) {
			t.Fatalf("%s: %q", tr, challenge)
		}
		before := r.failures.Load()
		if got := ask(t, c, authorize("REGISTER", "sip:pbx.test", challenge, "wrong-password"), answerTime); status(got) != 401 {
			t.Errorf("%s: a wrong password: %q", tr, got)
		}
		if r.failures.Load() != before+1 {
			t.Errorf("%s: the failure was not told", tr)
		}
		challenge = ask(t, c, request("REGISTER", "sip:pbx.test", ""), answerTime)
		if got := ask(t, c, authorize("REGISTER", "sip:pbx.test", challenge, "right-password"), answerTime); status(got) != 200 {
			t.Errorf("%s: the right password: %q", tr, got)
		}
	}
	if r.register.Load() != 3 {
		t.Errorf("%d registrations passed, want 3", r.register.Load())
	}
}

func TestRareMethodsTakeTheSlowRoad(t *testing.T) {
	r := newRig(t, true)
	for _, tr := range []Transport{UDP, TCP, TLS} {
		c := r.dial(t, tr, true)
		for method, want := range map[string]int{"SUBSCRIBE": 489, "PUBLISH": 489, "NOTIFY": 481, "REFER": 403, "INFO": 481, "BYE": 481} {
			challenge := ask(t, c, request(method, "sip:alice@pbx.test", ""), answerTime)
			if status(challenge) != 407 {
				t.Fatalf("%s over %s: %q", method, tr, challenge)
			}
			got := ask(t, c, authorize(method, "sip:alice@pbx.test", challenge, "right-password"), answerTime)
			if status(got) != want || strings.Count(got, "Via:") != 1 || !strings.Contains(got, "Via: SIP/2.0/UDP 192.0.2.1;") {
				t.Errorf("%s over %s: want %d, got %q", method, tr, want, got)
			}
		}
	}
	r.edge.slow.mu.Lock()
	defer r.edge.slow.mu.Unlock()
	if n := len(r.edge.slow.flows); n != 0 {
		t.Errorf("%d requests are still waited for", n)
	}
}

func TestWhatBelongsToNoCall(t *testing.T) {
	r := newRig(t, true)
	c := r.dial(t, UDP, true)
	bye := strings.Replace(request("BYE", "sip:x@127.0.0.1", ""), "To: <sip:alice@pbx.test>", "To: <sip:alice@pbx.test>;tag=9", 1)
	if got := ask(t, c, bye, answerTime); status(got) != 481 {
		t.Errorf("BYE: %q", got)
	}
	ack := strings.ReplaceAll(bye, "BYE", "ACK")
	if got := ask(t, c, ack, 50*time.Millisecond); got != "" {
		t.Errorf("ACK was answered: %q", got)
	}
	if r.calls.Load() != 2 {
		t.Errorf("the call engine was asked %d times, want 2", r.calls.Load())
	}
}

func TestAStrangerIsLimitedAndAGuesserBanned(t *testing.T) {
	r := newRig(t, true)
	c := r.dial(t, UDP, true)
	answered := 0
	for range 2 * strangerBurst {
		if ask(t, c, request("OPTIONS", "sip:pbx.test", ""), 20*time.Millisecond) != "" {
			answered++
		}
	}
	if answered < strangerBurst || answered > strangerBurst+60 || r.edge.Counters.Limited.Load() == 0 {
		t.Errorf("%d of %d answered, %d limited", answered, 2*strangerBurst, r.edge.Counters.Limited.Load())
	}
}

func TestLimiter(t *testing.T) {
	l := newLimiter(true)
	at := l.start
	stranger, device := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	l.know(device, at.Add(time.Hour))
	count := func(a netip.Addr, now time.Time) (n int) {
		for range 1000 {
			if l.allow(a, now) {
				n++
			}
		}
		return n
	}
	if n := count(stranger, at); n != strangerBurst {
		t.Errorf("a stranger's burst: %d", n)
	}
	if n := count(stranger, at.Add(time.Second)); n != strangerRate {
		t.Errorf("a stranger's second: %d", n)
	}
	if n := count(device, at.Add(time.Second)); n < knownRate-knownRate/2 || n > knownRate {
		t.Errorf("a device's second: %d", n)
	}
	for i := range 200 {
		count(netip.AddrFrom4([4]byte{198, 18, 0, byte(i)}), at.Add(2*time.Second))
	}
	if l.allow(netip.MustParseAddr("198.18.1.1"), at.Add(2*time.Second)) {
		t.Error("all strangers together are over their limit, and one more was served")
	}
	if !l.allow(device, at.Add(3*time.Second)) {
		t.Error("a device is kept out by strangers")
	}
	now := at.Add(time.Hour + time.Second)
	for range failuresPerMinute + 1 {
		l.failed(stranger, now)
	}
	if !l.banned(stranger, now.Add(firstBan-time.Second)) || l.banned(stranger, now.Add(firstBan+time.Second)) {
		t.Error("the first ban does not last as long as it should")
	}
	now = now.Add(firstBan + time.Minute)
	for range failuresPerMinute + 1 {
		l.failed(stranger, now)
	}
	if !l.banned(stranger, now.Add(2*firstBan-time.Second)) || l.banned(stranger, now.Add(2*firstBan+time.Second)) {
		t.Error("the second ban is not twice the first")
	}
	sub := netip.MustParseAddr("2001:db8::1")
	for range failuresPerMinute + 1 {
		l.failed(sub, now)
	}
	if !l.banned(netip.MustParseAddr("2001:db8::ffff"), now) || l.banned(netip.MustParseAddr("2001:db8:1::1"), now) {
		t.Error("an IPv6 network of 64 bits is not one source")
	}
}

func TestConnectionsOfOneAddressAreLimited(t *testing.T) {
	r := newRig(t, true)
	var conns []net.Conn
	for range maxConnsPerAddr {
		conns = append(conns, r.dial(t, TCP, true))
	}
	for _, c := range conns {
		if ask(t, c, "\r\n\r\n", answerTime) != "\r\n" {
			t.Fatal("a connection within the limit is not served")
		}
	}
	over := r.dial(t, TCP, true)
	_ = over.SetReadDeadline(time.Now().Add(answerTime))
	if _, err := over.Read(make([]byte, 1)); err != io.EOF && !strings.Contains(fmt.Sprint(err), "reset") {
		t.Errorf("one more: %v, want the end", err)
	}
	_ = conns[0].Close()
	for r.edge.Conns() == maxConnsPerAddr {
		runtime.Gosched()
	}
	if ask(t, r.dial(t, TCP, true), "\r\n\r\n", answerTime) != "\r\n" {
		t.Error("a place that was given back is not given out")
	}
}

func TestAStreamThatCannotBeReadEnds(t *testing.T) {
	r := newRig(t, true)
	for _, text := range []string{
		"REGISTER sip:x SIP/2.0\r\nContent-Length: 999999999\r\n\r\n",
		"REGISTER sip:x SIP/2.0\r\nX: " + strings.Repeat("y", maxMessage),
	} {
		c := r.dial(t, TCP, true)
		if _, err := io.WriteString(c, text); err != nil {
			continue // ended while it was written
		}
		_ = c.SetReadDeadline(time.Now().Add(answerTime))
		if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func TestABoxThatIsNotSetUpSaysSo(t *testing.T) {
	r := newRigOf(t, rigOptions{limits: true, strict: true})
	got := ask(t, r.dial(t, UDP, true), request("REGISTER", "sip:pbx.test", ""), answerTime)
	if status(got) != 503 || !strings.Contains(got, "Retry-After: 60") {
		t.Errorf("%q", got)
	}
}

func TestTheBoxConnectsToAPhoneThatListens(t *testing.T) {
	r := newRig(t, true)
	phone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer phone.Close()
	f, err := r.edge.FlowTo(TCP, netip.Addr{}, netip.MustParseAddrPort(phone.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one ", "two ", "three"} {
		if err := r.edge.Send(f, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := phone.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := make([]byte, len("one two three"))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "one two three" {
		t.Errorf("%q %v", got, err)
	}
	if _, err := r.edge.FlowTo(TLS, netip.Addr{}, netip.MustParseAddrPort(phone.Addr().String())); err == nil {
		t.Error("a TLS connection to a phone was made")
	}
}

// What strangers send must cost no memory: junk of many sources leaves nothing behind.
func TestJunkFromManySourcesLeavesNoMemory(t *testing.T) {
	r := newRig(t, true)
	in := &Inbound{}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	junk := []byte("this is not SIP at all, but long enough to look like a message\r\n\r\n")
	invite := []byte(request("INVITE", "sip:bob@pbx.test", ""))
	before := heap()
	const sources = 100_000
	for i := range sources {
		in.Flow = Flow{Transport: UDP, Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 5060), socket: r.edge.sockets[0]}
		text := junk
		if i%2 == 0 {
			text = invite
		}
		r.edge.gate(in, bytes.Clone(text), r.edge.limit.start.Add(time.Duration(i)*time.Millisecond))
	}
	const limit = 1 << 20
	if after := heap(); after > before+limit {
		t.Errorf("%d bytes are left of %d sources, more than %d", after-before, sources, limit)
	}
	if c := r.edge.Counters.Challenged.Load(); c == 0 {
		t.Error("nothing was challenged: the test sends the wrong messages")
	}
}

func BenchmarkRegister(b *testing.B) {
	r := newRig(b, false)
	in := &Inbound{}
	phone, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer phone.Close()
	f, err := r.edge.FlowTo(UDP, netip.Addr{}, netip.MustParseAddrPort(phone.LocalAddr().String()))
	if err != nil {
		b.Fatal(err)
	}
	first := []byte(request("REGISTER", "sip:pbx.test", "Contact: <sip:alice@127.0.0.1>\r\n"))
	text := make([]byte, len(first))
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		copy(text, first)
		in.Flow = f
		r.edge.gate(in, text, now)
	}
}

func TestAFaultInOneMessageSparesTheOthers(t *testing.T) {
	r := newRigOf(t, rigOptions{limits: true, domain: domain})
	in := &Inbound{Flow: Flow{Transport: UDP, Remote: netip.MustParseAddrPort("192.0.2.1:5060")}}
	fault := func(*Inbound) bool { panic("a fault") }
	r.onCall.Store(&fault)
	ack := strings.Replace(request("ACK", "sip:x@127.0.0.1", ""), "To: <sip:alice@pbx.test>", "To: <sip:alice@pbx.test>;tag=9", 1)
	if taken := r.edge.handle(in, []byte(ack), time.Now()); !taken {
		t.Error("a message that failed is used again")
	}
}

// A flow's messages come to their handler in the order that they came to the box.
func TestOrderOfAFlowIsKept(t *testing.T) {
	const messages = 3000
	for _, tr := range []Transport{UDP, TCP} {
		r := newRig(t, false)
		got := make(chan uint32, messages)
		note := func(in *Inbound) bool { got <- in.CSeq; return true }
		r.onCall.Store(&note)
		c := r.dial(t, tr, true)
		info := strings.Replace(request("INFO", "sip:x@127.0.0.1", ""), "To: <sip:alice@pbx.test>", "To: <sip:alice@pbx.test>;tag=9", 1)
		go func() {
			for i := range messages {
				if _, err := io.WriteString(c, strings.Replace(info, "CSeq: 1 ", fmt.Sprintf("CSeq: %d ", i+1), 1)); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		var last uint32
		for n := range messages {
			select {
			case seq := <-got:
				if seq <= last {
					t.Fatalf("%s: message %d came after %d", tr, seq, last)
				}
				last = seq
			case <-time.After(answerTime):
				if tr == UDP && n > messages/2 {
					return // a datagram may be lost; what came, came in order
				}
				t.Fatalf("%s: %d of %d messages came", tr, n, messages)
			}
		}
	}
}
