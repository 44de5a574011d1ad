package turn

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/media/stun"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is the gate of tests: loopback stands for a network, of which one host is closed.
type lab struct{}

const closedHost = "127.0.71.66"

func (lab) Reachable(a netip.Addr) bool { return a != netip.MustParseAddr(closedHost) }
func (lab) Open(at netip.AddrPort) bool { return lab{}.Reachable(at.Addr()) && at.Port() >= 1024 }
func (lab) Refresh([]netip.Addr)        {}

const secret = "a secret of the site"

func startServer(t *testing.T, p Policy) *Server {
	t.Helper()
	at := free(t, "127.0.71.1")
	s, err := New(Config{Listen: []netip.AddrPort{at}, First: 41000, Last: 41999, Peers: lab{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.SetPolicy(p)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// free is a port that nobody has now.
func free(t *testing.T, host string) netip.AddrPort {
	t.Helper()
	c := listen(t, host)
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func listen(t *testing.T, host string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), 0)))
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// user is a client of the server.
type user struct {
	t        *testing.T
	conn     *net.UDPConn
	server   netip.AddrPort
	name     string
	password string
	nonce    string
	next     byte
}

func newUser(t *testing.T, s *Server, host string) *user {
	u := &user{t: t, conn: listen(t, host), server: s.cfg.Listen[0]}
	u.name, u.password = Issue([]byte(secret), "alice", time.Now().Add(time.Hour))
	return u
}

func (u *user) exchange(b []byte) stun.Message {
	u.t.Helper()
	for range 100 { // until the server listens
		if _, err := u.conn.WriteToUDPAddrPort(b, u.server); err != nil {
			u.t.Fatal(err)
		}
		if p := u.read(100 * time.Millisecond); p != nil {
			m, ok := stun.Parse(p)
			if !ok {
				u.t.Fatalf("answer % x", p)
			}
			return m
		}
	}
	u.t.Fatal("no answer")
	return nil
}

func (u *user) read(wait time.Duration) []byte {
	_ = u.conn.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, 2048)
	n, _, err := u.conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		return nil
	}
	return buf[:n]
}

const realm = "example.test"

func (u *user) request(method stun.Type, add func(*stun.Builder)) stun.Message {
	u.t.Helper()
	u.next++
	w := stun.New(nil, method|stun.Request, stun.TransactionID{u.next})
	if add != nil {
		add(w)
	}
	if u.nonce != "" {
		w.AddString(stun.AttrUsername, u.name)
		w.AddString(stun.AttrRealm, realm)
		w.AddString(stun.AttrNonce, u.nonce)
		key := md5.Sum([]byte(u.name + ":" + realm + ":" + u.password))
		w.Sign(hmac.New(sha1.New, key[:]))
	}
	m := u.exchange(w.Mark())
	if v, ok := m.Attr(stun.AttrNonce); ok {
		u.nonce = string(v)
	}
	return m
}

func overUDP(w *stun.Builder) { w.Add(stun.AttrTransport, []byte{17, 0, 0, 0}) }

// allocate asks for a port, first without credentials.
func (u *user) allocate() (relayed netip.AddrPort, code int) {
	u.t.Helper()
	if m := u.request(stun.Allocate, overUDP); m.ErrorCode() != unauthorized || len(m) > 3*28 {
		u.t.Fatalf("a stranger got %d in %d bytes", m.ErrorCode(), len(m))
	}
	m := u.request(stun.Allocate, overUDP)
	relayed, _ = m.XORAddress(stun.AttrXORRelayed)
	return relayed, m.ErrorCode()
}

func peerAt(a netip.AddrPort) func(*stun.Builder) {
	return func(w *stun.Builder) { w.AddXORAddress(stun.AttrXORPeerAddress, a) }
}

func TestBinding(t *testing.T) {
	t.Parallel()
	s := startServer(t, Policy{STUN: true})
	u := newUser(t, s, "127.0.71.2")
	m := u.request(stun.Binding, nil)
	if a, _ := m.XORAddress(stun.AttrXORMappedAddress); a != u.conn.LocalAddr().(*net.UDPAddr).AddrPort() || len(m) > 3*28 {
		t.Errorf("mapped to %s in %d bytes", a, len(m))
	}
	// Without a secret nobody relays, and nobody is asked for credentials.
	w := stun.New(nil, stun.Allocate|stun.Request, stun.TransactionID{})
	if _, err := u.conn.WriteToUDPAddrPort(w.Mark(), u.server); err != nil {
		t.Fatal(err)
	}
	if p := u.read(50 * time.Millisecond); p != nil {
		t.Errorf("answered % x", p)
	}
	answered := 0
	for range 3 * sourceBurst {
		w := stun.New(nil, stun.Binding|stun.Request, stun.TransactionID{})
		_, _ = u.conn.WriteToUDPAddrPort(w.Mark(), u.server)
	}
	for u.read(50*time.Millisecond) != nil {
		answered++
	}
	if answered > sourceBurst+sourceRate {
		t.Errorf("%d of a flood were answered", answered)
	}
	s.SetPolicy(Policy{})
	for range 100 { // until the port is closed
		if c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(u.server)); err == nil {
			_ = c.Close()
			s.SetPolicy(Policy{STUN: true})
			u.request(stun.Binding, nil) // and open again
			return
		}
		time.Sleep(10 * time.Millisecond) // the kernel's, not ours
	}
	t.Error("the port stays open")
}

func TestPortThatIsTaken(t *testing.T) {
	t.Parallel()
	taken := listen(t, "127.0.71.12").LocalAddr().(*net.UDPAddr).AddrPort()
	s, err := New(Config{Listen: []netip.AddrPort{taken}, First: 41000, Last: 41999, Peers: lab{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.session(t.Context()); err == nil {
		t.Error("served")
	}
}

func TestRelay(t *testing.T) {
	t.Parallel()
	s := startServer(t, Policy{Realm: realm, Secret: []byte(secret)})
	u := newUser(t, s, "127.0.71.4")
	relayed, code := u.allocate()
	if code != 0 || relayed.Addr() != s.cfg.Listen[0].Addr() || relayed.Port() < 41000 || relayed.Port() > 41999 {
		t.Fatalf("relay %s, error %d", relayed, code)
	}
	peer, stranger := listen(t, "127.0.71.5"), listen(t, "127.0.71.6")
	at := peer.LocalAddr().(*net.UDPAddr).AddrPort()
	send := func(c *net.UDPConn, text string) {
		t.Helper()
		if _, err := c.WriteToUDPAddrPort([]byte(text), relayed); err != nil {
			t.Fatal(err)
		}
	}
	heard := func(want string) {
		t.Helper()
		_ = peer.SetReadDeadline(time.Now().Add(map[bool]time.Duration{true: 50 * time.Millisecond, false: 2 * time.Second}[want == ""]))
		buf := make([]byte, 2048)
		n, from, err := peer.ReadFromUDPAddrPort(buf)
		if string(buf[:n]) != want || (err == nil && from != relayed) {
			t.Fatalf("the peer heard %q from %s (%v), want %q", buf[:n], from, err, want)
		}
	}
	indicate := func(text string) {
		w := stun.New(nil, stun.Send|stun.Indication, stun.TransactionID{})
		w.AddXORAddress(stun.AttrXORPeerAddress, at)
		w.Add(stun.AttrData, []byte(text))
		_, _ = u.conn.WriteToUDPAddrPort(w.Mark(), u.server)
	}
	send(peer, "without a permission")
	indicate("without a permission")
	heard("")
	if m := u.request(stun.CreatePermission, peerAt(netip.MustParseAddrPort(closedHost+":5000"))); m.ErrorCode() != forbidden {
		t.Errorf("a closed host: %d", m.ErrorCode())
	}
	if m := u.request(stun.CreatePermission, nil); m.ErrorCode() != badRequest {
		t.Errorf("nobody: %d", m.ErrorCode())
	}
	if m := u.request(stun.CreatePermission, peerAt(at)); m.Type().Class() != stun.Success {
		t.Fatalf("permission: %d", m.ErrorCode())
	}
	indicate("hello")
	heard("hello")
	send(stranger, "never")
	send(peer, "to the client")
	p := u.read(2 * time.Second)
	m, ok := stun.Parse(p)
	data, _ := m.Attr(stun.AttrData)
	if from, _ := m.XORAddress(stun.AttrXORPeerAddress); !ok || string(data) != "to the client" || from != at {
		t.Fatalf("came % x", p)
	}
	channel := func(n uint16) func(*stun.Builder) {
		return func(w *stun.Builder) {
			w.AddUint32(stun.AttrChannelNumber, uint32(n)<<16)
			w.AddXORAddress(stun.AttrXORPeerAddress, at)
		}
	}
	for n, want := range map[uint16]int{0x3fff: badRequest, 0x7fff: badRequest} {
		if m := u.request(stun.ChannelBind, channel(n)); m.ErrorCode() != want {
			t.Errorf("channel %x: %d", n, m.ErrorCode())
		}
	}
	if m := u.request(stun.ChannelBind, channel(0x4001)); m.Type().Class() != stun.Success {
		t.Fatalf("channel: %d", m.ErrorCode())
	}
	if m := u.request(stun.ChannelBind, channel(0x4002)); m.ErrorCode() != badRequest {
		t.Error("a peer has two channels")
	}
	frame := binary.BigEndian.AppendUint16([]byte{0x40, 1}, 7)
	_, _ = u.conn.WriteToUDPAddrPort(append(frame, "channel"...), u.server)
	heard("channel")
	send(peer, "back")
	if p := u.read(2 * time.Second); string(p) != "\x40\x01\x00\x04back" {
		t.Errorf("came % x", p)
	}
	if m := u.request(stun.Refresh, func(w *stun.Builder) { w.AddUint32(stun.AttrLifetime, 0) }); m.Type().Class() != stun.Success || s.Use() != 0 {
		t.Errorf("refresh: %d, %d in use", m.ErrorCode(), s.Use())
	}
	if m := u.request(stun.Refresh, nil); m.ErrorCode() != mismatch {
		t.Errorf("after the end: %d", m.ErrorCode())
	}
}

func TestCredentialsAreJudged(t *testing.T) {
	t.Parallel()
	s := startServer(t, Policy{Realm: realm, Secret: []byte(secret)})
	for name, change := range map[string]func(u *user){
		"an old name":            func(u *user) { u.name, u.password = Issue([]byte(secret), "alice", time.Now().Add(-time.Second)) },
		"another secret":         func(u *user) { u.name, u.password = Issue([]byte("guess"), "alice", time.Now().Add(time.Hour)) },
		"a name of its own time": func(u *user) { u.name = fmt.Sprint(time.Now().Unix()+1e6) + ":alice" },
		"no time":                func(u *user) { u.name = "alice" },
	} {
		u := newUser(t, s, "127.0.71.7")
		change(u)
		if _, code := u.allocate(); code != unauthorized {
			t.Errorf("%s: %d", name, code)
		}
	}
	u := newUser(t, s, "127.0.71.8")
	u.nonce = "0123456789abcdef"
	if m := u.request(stun.Allocate, overUDP); m.ErrorCode() != staleNonce || u.nonce == "0123456789abcdef" {
		t.Errorf("a made up nonce: %d", m.ErrorCode())
	}
	for name, c := range map[string]struct {
		add  func(*stun.Builder)
		code int
	}{
		"TCP":                     {func(w *stun.Builder) { w.Add(stun.AttrTransport, []byte{6, 0, 0, 0}) }, wrongTransport},
		"no transport":            {nil, badRequest},
		"IPv6 by IPv4":            {func(w *stun.Builder) { overUDP(w); w.Add(stun.AttrFamily, []byte{2, 0, 0, 0}) }, wrongFamily},
		"an attribute not known":  {func(w *stun.Builder) { overUDP(w); w.Add(0x7001, nil) }, unknownAttribute},
		"an even port and a next": {func(w *stun.Builder) { overUDP(w); w.Add(stun.AttrEvenPort, []byte{0x80}) }, noCapacity},
	} {
		if m := u.request(stun.Allocate, c.add); m.ErrorCode() != c.code {
			t.Errorf("%s: %d", name, m.ErrorCode())
		}
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	s := startServer(t, Policy{Realm: realm, Secret: []byte(secret)})
	for range maxOfUser {
		if _, code := newUser(t, s, "127.0.71.9").allocate(); code != 0 {
			t.Fatal(code)
		}
	}
	if _, code := newUser(t, s, "127.0.71.9").allocate(); code != quotaReached {
		t.Errorf("one too many: %d", code)
	}
	other := newUser(t, s, "127.0.71.9")
	other.name, other.password = Issue([]byte(secret), "bob", time.Now().Add(time.Hour))
	if _, code := other.allocate(); code != 0 {
		t.Errorf("another user: %d", code)
	}
	s.SetPolicy(Policy{Realm: realm})
	if s.Use() != 0 {
		t.Error("relays without a secret")
	}
}

func TestAllocationsEnd(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s, err := New(Config{First: 41000, Last: 41999, Peers: lab{}, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	s.SetPolicy(Policy{Realm: realm, Secret: []byte(secret)})
	c := client{from: netip.MustParseAddrPort("127.0.71.10:9"), local: netip.MustParseAddr("127.0.71.1")}
	name, password := Issue([]byte(secret), "alice", now.Add(3*time.Hour))
	key := md5.Sum([]byte(name + ":" + realm + ":" + password))
	ask := func(method stun.Type, add func(*stun.Builder)) stun.Message {
		w := stun.New(nil, method|stun.Request, stun.TransactionID{byte(method)})
		add(w)
		w.AddString(stun.AttrUsername, name)
		w.AddString(stun.AttrNonce, s.nonceAt(c, now.Unix()/int64(nonceTime/time.Second)))
		w.Sign(hmac.New(sha1.New, key[:]))
		m, _ := stun.Parse(s.datagram(nil, w.Message(), c))
		return m
	}
	for range 2 { // its answer was lost: it asks again
		if m := ask(stun.Allocate, overUDP); m.Type().Class() != stun.Success || s.Use() != 1 {
			t.Fatalf("error %d, %d in use", m.ErrorCode(), s.Use())
		}
	}
	now = now.Add(defaultLifetime - time.Second)
	if m := ask(stun.Refresh, func(w *stun.Builder) { w.AddUint32(stun.AttrLifetime, 1<<31) }); m.Type().Class() != stun.Success {
		t.Fatal(m.ErrorCode())
	}
	now = now.Add(longestLifetime - time.Second)
	if s.expire(); s.Use() != 1 {
		t.Error("ended too soon")
	}
	now = now.Add(2 * time.Second)
	if s.expire(); s.Use() != 0 || len(s.ofUser) != 0 {
		t.Error("it never ends")
	}
	s.relays.Wait()
}

func TestPeers(t *testing.T) {
	t.Parallel()
	p := &Peers{First: 20000, Last: 29999, Closed: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}}
	if p.Open(netip.MustParseAddrPort("192.0.2.9:5000")) {
		t.Error("open before the box knows its addresses")
	}
	p.Refresh([]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")})
	for at, want := range map[string]bool{
		"192.0.2.9:5000": true, "[2001:db8::9]:5000": true, "10.1.1.1:5000": true,
		"192.0.2.1:20000": true, "192.0.2.1:5060": false, "[2001:db8::1]:443": false, "[2001:db8::1]:29999": true, "192.0.2.1:3478": false,
		"127.0.0.1:20000": false, "[::1]:20000": false, "[::ffff:127.0.0.1]:20000": false, "169.254.1.1:20000": false, "[fe80::1]:20000": false,
		"224.0.0.1:20000": false, "0.0.0.0:20000": false, "255.255.255.255:20000": false, "10.9.1.1:20000": false, "192.0.2.9:0": false,
		"[64:ff9b::7f00:1]:20000": false, "[2002:7f00:1::]:20000": false, "[ff02::1]:20000": false, "[fe80::1%eth0]:20000": false,
	} {
		if got := p.Open(netip.MustParseAddrPort(at)); got != want {
			t.Errorf("%s: %v", at, got)
		}
	}
	if len(OwnAddresses()) == 0 {
		t.Error("the machine has no address")
	}
}

func FuzzDatagram(f *testing.F) {
	s, err := New(Config{First: 41000, Last: 41999, Peers: lab{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	s.SetPolicy(Policy{STUN: true, Realm: realm, Secret: []byte(secret)})
	c := client{from: netip.MustParseAddrPort("127.0.71.11:9"), local: netip.MustParseAddr("127.0.71.1")}
	w := stun.New(nil, stun.Allocate|stun.Request, stun.TransactionID{})
	overUDP(w)
	w.AddString(stun.AttrUsername, "1:a")
	w.AddString(stun.AttrNonce, "0123456789abcdef")
	w.Sign(hmac.New(sha1.New, nil))
	f.Add([]byte(w.Message()))
	f.Add([]byte("\x40\x01\x00\x04back"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if answer := s.datagram(nil, b, c); len(answer) > 3*max(len(b), 28) {
			t.Errorf("%d bytes to %d", len(answer), len(b))
		}
		if s.Use() != 0 {
			t.Error("a stranger has a relay")
		}
	})
}
