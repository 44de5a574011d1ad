package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func TestMain(m *testing.M) {
	if code, entered := netlab.Enter(); entered {
		os.Exit(code)
	}
	if err := netlab.RaiseLoopback(); err != nil {
		fmt.Fprintln(os.Stderr, "loopback:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

type leases map[string]netip.Addr

func (l leases) Named(name string) (netip.Addr, bool) { a, ok := l[name]; return a, ok }

func (l leases) NameOf(a netip.Addr) (string, bool) {
	for name, has := range l {
		if has == a {
			return name, true
		}
	}
	return "", false
}

// upstream is a server that others ask, on loopback.
type upstream struct {
	at    netip.AddrPort
	asked atomic.Int32
}

func serve(t *testing.T, answer func(q dns.Question, m *dns.Msg)) *upstream {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{at: pc.LocalAddr().(*net.UDPAddr).AddrPort()}
	h := dns.HandlerFunc(func(w dns.ResponseWriter, ask *dns.Msg) {
		u.asked.Add(1)
		m := new(dns.Msg).SetReply(ask)
		answer(ask.Question[0], m)
		if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
			m.Truncate(udpSize)
		}
		_ = w.WriteMsg(m)
	})
	for _, srv := range []*dns.Server{{PacketConn: pc, Handler: h}, {Listener: ln, Handler: h}} {
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		ended := make(chan error, 1)
		go func() { ended <- srv.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = srv.Shutdown(); <-ended })
	}
	return u
}

func rr(t testing.TB, text string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// public answers like the world: every name has an address, "gone" has none, "big" has many,
// "inside" has one of ours.
func public(t *testing.T) func(q dns.Question, m *dns.Msg) {
	return func(q dns.Question, m *dns.Msg) {
		switch {
		case strings.HasPrefix(q.Name, "gone."):
			m.Rcode = dns.RcodeNameError
			m.Ns = []dns.RR{rr(t, "example. 300 IN SOA ns. mail. 1 2 3 4 120")}
		case strings.HasPrefix(q.Name, "big."):
			for i := range 200 {
				m.Answer = append(m.Answer, rr(t, fmt.Sprintf("%s 60 IN A 203.0.113.%d", q.Name, i)))
			}
		case strings.HasPrefix(q.Name, "inside."):
			m.Answer = []dns.RR{rr(t, q.Name+" 60 IN A 10.1.2.3")}
		case q.Qtype == dns.TypeA:
			m.Answer = []dns.RR{rr(t, q.Name+" 60 IN A 203.0.113.7")}
		}
	}
}

func newServer(t *testing.T, up *upstream, change func(*Config)) *Server {
	t.Helper()
	a := netip.MustParseAddr
	cfg := Config{
		Domain: "office.example", Servers: []netip.AddrPort{up.at},
		Box:    "box",
		Hosts:  []Host{{"www.partner.example", []netip.Addr{a("10.9.9.9")}}},
		Places: []Place{{Zone: "voice", Addr: a("10.20.0.1"), Self: []netip.Addr{a("10.20.0.1"), a("fd00::1")}, From: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/24")}}},
	}
	if change != nil {
		change(&cfg)
	}
	return New(cfg, leases{"desk-7": a("10.20.0.107"), "wpad": a("10.20.0.66"), "box": a("10.20.0.66")}, slog.New(slog.DiscardHandler))
}

func (s *Server) place() Place {
	if len(s.cfg.Places) == 0 {
		return Place{}
	}
	return s.cfg.Places[0]
}

func ask(s *Server, name string, qtype uint16) *dns.Msg {
	return s.reply(context.Background(), s.place(), new(dns.Msg).SetQuestion(name, qtype))
}

func TestWhatIsAnswered(t *testing.T) {
	t.Parallel()
	up := serve(t, public(t))
	corp := serve(t, func(q dns.Question, m *dns.Msg) { m.Answer = []dns.RR{rr(t, q.Name+" 60 IN A 192.168.50.1")} })
	s := newServer(t, up, func(c *Config) { c.Split = []Split{{"corp.example", []netip.AddrPort{corp.at}}} })
	for _, c := range []struct {
		name  string
		qtype uint16
		rcode int
		want  string // part of the answer, "" for none
	}{
		{"box.office.example.", dns.TypeA, 0, "10.20.0.1"},
		{"BOX.office.example.", dns.TypeAAAA, 0, "fd00::1"},
		{"box.", dns.TypeA, 0, "10.20.0.1"},
		{"box.office.example.", dns.TypeTXT, 0, ""},
		{"desk-7.office.example.", dns.TypeA, 0, "10.20.0.107"},
		{"desk-7.", dns.TypeA, 0, "10.20.0.107"},
		{"wpad.office.example.", dns.TypeA, dns.RcodeNameError, ""},
		{"nobody.office.example.", dns.TypeA, dns.RcodeNameError, ""},
		{"www.partner.example.", dns.TypeA, 0, "10.9.9.9"},
		{"107.0.20.10.in-addr.arpa.", dns.TypePTR, 0, "desk-7.office.example."},
		{"1.0.20.10.in-addr.arpa.", dns.TypePTR, 0, "box.office.example."},
		{"200.0.20.10.in-addr.arpa.", dns.TypePTR, dns.RcodeNameError, ""},
		{"localhost.", dns.TypeA, 0, "127.0.0.1"},
		{"x.local.", dns.TypeA, dns.RcodeNameError, ""},
		{"x.invalid.", dns.TypeA, dns.RcodeNameError, ""},
		{"mail.corp.example.", dns.TypeA, 0, "192.168.50.1"},
		{"www.example.", dns.TypeA, 0, "203.0.113.7"},
		{"gone.example.", dns.TypeA, dns.RcodeNameError, ""},
		{"inside.example.", dns.TypeA, dns.RcodeRefused, ""},
		{"www.example.", dns.TypeANY, dns.RcodeNotImplemented, ""},
	} {
		m := ask(s, c.name, c.qtype)
		text := fmt.Sprint(m.Answer)
		if m.Rcode != c.rcode || (c.want == "") != (len(m.Answer) == 0) || !strings.Contains(text, c.want) || m.Question[0].Name != c.name {
			t.Errorf("%s %s: %s %s, want %s %q", c.name, dns.TypeToString[c.qtype], dns.RcodeToString[m.Rcode], text, dns.RcodeToString[c.rcode], c.want)
		}
	}
	if corp.asked.Load() != 1 || s.Counters.Rebound.Load() != 1 {
		t.Errorf("the server of the split domain was asked %d times, held back %d", corp.asked.Load(), s.Counters.Rebound.Load())
	}
}

func TestAnswersAreKeptAndCountDown(t *testing.T) {
	t.Parallel()
	up := serve(t, public(t))
	s := newServer(t, up, nil)
	for range 3 {
		ask(s, "www.example.", dns.TypeA)
		ask(s, "WWW.example.", dns.TypeA)
		ask(s, "gone.example.", dns.TypeA)
	}
	if n := up.asked.Load(); n != 2 || s.Size() != 2 {
		t.Errorf("asked %d times for 2 names, %d kept", n, s.Size())
	}
	now := time.Now()
	key := question{"www.example.", dns.TypeA, false}
	if m := s.cache.get(key, now.Add(20*time.Second), false); m == nil || m.Answer[0].Header().Ttl > 41 || m.Answer[0].Header().Ttl < 39 {
		t.Errorf("after 20 s: %v", m)
	}
	if m := s.cache.get(key, now.Add(61*time.Second), false); m != nil {
		t.Errorf("after its time: %v", m)
	}
	if m := s.cache.get(key, now.Add(61*time.Second), true); m == nil || m.Answer[0].Header().Ttl != staleTTL {
		t.Errorf("stale: %v", m)
	}
	if m := s.cache.get(key, now.Add(2*time.Hour), true); m != nil {
		t.Errorf("too stale: %v", m)
	}
	gone := question{"gone.example.", dns.TypeA, false}
	if s.cache.get(gone, now.Add(100*time.Second), false) == nil || s.cache.get(gone, now.Add(121*time.Second), false) != nil {
		t.Error("that there is nothing is not kept as long as the SOA says")
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := newCache(10)
	now := time.Now()
	for i := range 100 {
		name := fmt.Sprintf("n%d.example.", i)
		m := new(dns.Msg).SetQuestion(name, dns.TypeA)
		m.Answer = []dns.RR{rr(t, name+" 60 IN A 203.0.113.7")}
		c.put(question{name, dns.TypeA, false}, m, now)
		if c.get(question{"n0.example.", dns.TypeA, false}, now, false) == nil {
			t.Fatalf("the one that is used is gone after %d", i)
		}
	}
	if c.size() != 10 || len(c.byKey) != 10 {
		t.Errorf("%d of 10 kept, %d keys", c.size(), len(c.byKey))
	}
}

func TestADeadServerIsGoneAround(t *testing.T) {
	t.Parallel()
	up := serve(t, public(t))
	dead := serve(t, func(_ dns.Question, m *dns.Msg) { m.Rcode = dns.RcodeServerFailure })
	s := newServer(t, up, func(c *Config) { c.Servers = []netip.AddrPort{dead.at, up.at} })
	for i := range 5 {
		if m := ask(s, fmt.Sprintf("n%d.example.", i), dns.TypeA); len(m.Answer) != 1 {
			t.Errorf("no answer: %v", m)
		}
	}
	if n := dead.asked.Load(); n != 1 {
		t.Errorf("the dead server was asked %d times", n)
	}
	for _, u := range s.Upstreams() {
		if u.Server == dead.at && (u.Failed != 1 || !u.LastOK.IsZero()) {
			t.Errorf("%+v", u)
		}
	}
}

func TestNamesAreLookedUp(t *testing.T) {
	t.Parallel()
	up := serve(t, public(t))
	dead := netip.MustParseAddrPort("127.0.0.1:1")
	for name, want := range map[string]string{"www.example": "203.0.113.7", "192.0.2.9": "192.0.2.9", "gone.example": ""} {
		got, err := Lookup(t.Context(), []netip.AddrPort{dead, up.at}, name)
		if (err == nil) != (want != "") || err == nil && got[0].String() != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := Lookup(t.Context(), nil, "www.example"); err == nil {
		t.Error("without servers")
	}
}

func TestNoServerIsServfail(t *testing.T) {
	t.Parallel()
	s := New(Config{}, nil, slog.New(slog.DiscardHandler))
	if m := ask(s, "www.example.", dns.TypeA); m.Rcode != dns.RcodeServerFailure || s.Counters.Failed.Load() != 1 {
		t.Errorf("got %v", m)
	}
}

func TestHostsAskByUDPAndTCPAndStrangersDoNot(t *testing.T) {
	t.Parallel()
	up := serve(t, public(t))
	lab := netlab.New(t)
	phone := lab.Cable(t, "phone", "dn-a")
	if out, err := exec.Command("ip", "addr", "add", "10.22.0.1/24", "dev", "dn-a").CombinedOutput(); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	phone.Output(t, "ip", "addr", "add", "10.22.0.2/24", "dev", "eth0")
	phone.Output(t, "ip", "addr", "add", "10.23.0.2/24", "dev", "eth0")
	phone.Output(t, "ip", "route", "add", "10.22.0.1/32", "dev", "eth0")
	s := newServer(t, up, func(c *Config) {
		c.Places = []Place{{Zone: "v", Iface: "dn-a", Addr: netip.MustParseAddr("10.22.0.1"), From: []netip.Prefix{netip.MustParsePrefix("10.22.0.0/24")}}}
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	exchange := func(network, name string, edns bool) (*dns.Msg, error) {
		var m *dns.Msg
		err := errors.New("not tried")
		for try := 0; err != nil && try < 20; try++ { // until the server has its sockets
			var c net.Conn
			if c, err = phone.Dial(network, "10.22.0.1:53"); err != nil {
				time.Sleep(50 * time.Millisecond)
				continue
			}
			co := &dns.Conn{Conn: c, UDPSize: dns.MaxMsgSize}
			ask := new(dns.Msg).SetQuestion(name, dns.TypeA)
			if edns {
				ask.SetEdns0(4096, false)
			}
			m, _, err = (&dns.Client{Timeout: time.Second}).ExchangeWithConn(ask, co)
			_ = c.Close()
		}
		return m, err
	}
	if m, err := exchange("udp", "big.example.", true); err != nil || !m.Truncated || len(m.Answer) == 200 {
		t.Errorf("a big answer by UDP: %d records, %v", len(m.Answer), err)
	}
	if m, err := exchange("tcp", "big.example.", true); err != nil || m.Truncated || len(m.Answer) != 200 {
		t.Errorf("by TCP: %v, %v", m, err)
	}
	if m, err := exchange("udp", "www.example.", false); err != nil || len(m.Answer) != 1 || m.IsEdns0() != nil {
		t.Errorf("without EDNS: %v, %v", m, err)
	}
	refused := s.Counters.Refused.Load()
	var stranger *net.UDPConn
	if err := phone.Do(func() (err error) {
		stranger, err = net.DialUDP("udp", &net.UDPAddr{IP: net.IP{10, 23, 0, 2}}, &net.UDPAddr{IP: net.IP{10, 22, 0, 1}, Port: 53})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	wire, _ := new(dns.Msg).SetQuestion("www.example.", dns.TypeA).Pack()
	_, _ = stranger.Write(wire)
	_ = stranger.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if n, err := stranger.Read(make([]byte, 512)); err == nil {
		t.Errorf("a stranger got %d bytes", n)
	}
	if s.Counters.Refused.Load() != refused+1 {
		t.Error("the stranger's question was not counted")
	}
}

func FuzzReply(f *testing.F) {
	for _, name := range []string{"box.", "1.0.20.10.in-addr.arpa.", "x.office.example.", ".", strings.Repeat("1.", 32) + "ip6.arpa."} {
		wire, err := new(dns.Msg).SetQuestion(name, dns.TypeA).Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	s := New(Config{Domain: "office.example", Hosts: []Host{{"box", []netip.Addr{netip.MustParseAddr("10.0.0.1")}}}}, leases{}, slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, b []byte) {
		ask := new(dns.Msg)
		if ask.Unpack(b) != nil {
			return
		}
		m := s.reply(t.Context(), Place{}, ask)
		m.Truncate(room(ask))
		if _, err := m.Pack(); err != nil {
			t.Errorf("an answer that cannot be sent: %v\n%v", err, m)
		}
	})
}

func FuzzFromReverse(f *testing.F) {
	f.Add("1.0.20.10.in-addr.arpa.")
	f.Add(strings.Repeat("a.", 32) + "ip6.arpa.")
	f.Fuzz(func(_ *testing.T, name string) { fromReverse(name) })
}

func BenchmarkCached(b *testing.B) {
	s := New(Config{Domain: "office.example"}, nil, slog.New(slog.DiscardHandler))
	m := new(dns.Msg).SetQuestion("www.example.", dns.TypeA)
	m.Answer = []dns.RR{rr(b, "www.example. 3600 IN A 203.0.113.7")}
	s.cache.put(question{"www.example.", dns.TypeA, false}, m, time.Now())
	b.ReportAllocs()
	for b.Loop() {
		ask(s, "www.example.", dns.TypeA)
	}
}
