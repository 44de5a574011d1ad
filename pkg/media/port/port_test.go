package port

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// shelf is a supervisor's store: it keeps copies.
type shelf struct {
	mu     sync.Mutex
	held   map[string][]int
	refuse error
}

func newShelf(t *testing.T) *shelf {
	s := &shelf{held: map[string][]int{}}
	t.Cleanup(func() {
		for name := range s.held {
			_ = s.Forget(name)
		}
	})
	return s
}

func (s *shelf) Store(name string, fds ...int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return s.refuse
	}
	if strings.Contains(name, ":") {
		return errors.New("colon in name")
	}
	for _, fd := range fds {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		s.held[name] = append(s.held[name], n)
	}
	return nil
}

func (s *shelf) Forget(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, fd := range s.held[name] {
		_ = unix.Close(fd)
	}
	delete(s.held, name)
	return nil
}

// hand gives all that is held to a new process, as after a crash.
func (s *shelf) hand() map[string][]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]int{}
	for name, fds := range s.held {
		for _, fd := range fds {
			n, _ := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
			out[name] = append(out[name], n)
		}
	}
	return out
}

func newPool(t *testing.T, cfg Config, k Keeper) *Pool {
	t.Helper()
	p, err := New(cfg, k)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func acquire(t *testing.T, p *Pool, local string, now time.Time) *Pair {
	t.Helper()
	pair, err := p.Acquire(netip.MustParseAddr(local), udpio.DSCPVoice, now)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func TestPairsAreEvenAndOddAndReusedAfterRest(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	p := newPool(t, Config{First: 21001, Last: 21100}, s)
	start := time.Now()
	a := acquire(t, p, "127.0.0.21", start)
	if a.Local.Port()%2 != 0 || a.Local.Port() < 21002 || a.LocalRTCP().Port() != a.Local.Port()+1 || a.LocalRTCP().Port() > 21100 {
		t.Errorf("pair at %s", a.Local)
	}
	for _, fd := range a.fds() {
		if tos, _ := unix.GetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS); tos != int(udpio.DSCPVoice)<<2 {
			t.Errorf("TOS %d", tos)
		}
	}
	if err := p.Release(a, start); err != nil {
		t.Fatal(err)
	}
	b := acquire(t, p, "127.0.0.21", start.Add(quarantine-1))
	if b == a {
		t.Error("a pair was used again before it had rested")
	}
	if c := acquire(t, p, "127.0.0.21", start.Add(quarantine)); c != a {
		t.Error("a rested pair was not used again")
	}
	if used, open := p.Use(); used != 4 || open != 4 || len(s.held) != 2 {
		t.Errorf("used %d, open %d, held %d", used, open, len(s.held))
	}
}

func TestRestingPairHearsNothing(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{First: 21200, Last: 21201}, newShelf(t))
	start := time.Now()
	a := acquire(t, p, "127.0.0.22", start)
	conn, err := net.Dial("udp", a.Local.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	say := func(text string) {
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	peer := udpio.SockaddrOf(conn.LocalAddr().(*net.UDPAddr).AddrPort())
	if err := udpio.Connect(a.RTP, &peer); err != nil {
		t.Fatal(err)
	}
	say("in the call")
	if err := p.Release(a, start); err != nil {
		t.Fatal(err)
	}
	say("after it")
	b := acquire(t, p, "127.0.0.22", start.Add(time.Minute))
	if b != a {
		t.Fatal("a range of one pair gave another")
	}
	other, err := net.Dial("udp", a.Local.String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Write([]byte("next call")); err != nil { // by another peer
		t.Fatal(err)
	}
	batch := udpio.NewBatch(4, 32, false)
	if n, err := batch.Recv(b.RTP); n != 1 || err != nil || string(batch.Packet(0)) != "next call" {
		t.Errorf("the next call hears %d packets, %q, %v", n, batch.Packet(0), err)
	}
}

func TestFullRange(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{First: 21300, Last: 21305}, newShelf(t))
	taken, err := net.ListenPacket("udp", "127.0.0.23:21303") // the RTCP port of one pair is another's
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	now := time.Now()
	seen := map[uint16]bool{}
	for range 2 {
		seen[acquire(t, p, "127.0.0.23", now).Local.Port()] = true
	}
	if !seen[21300] || !seen[21304] {
		t.Errorf("ports %v", seen)
	}
	if _, err := p.Acquire(netip.MustParseAddr("127.0.0.23"), 0, now); !problem.Is(err, problem.Full) {
		t.Errorf("a full range gave %v", err)
	}
	acquire(t, p, "127.0.0.24", now) // another address has its own
}

func TestAddressThatIsNotOurs(t *testing.T) {
	t.Parallel()
	p := newPool(t, Config{First: 21400, Last: 21499}, newShelf(t))
	for range 3 {
		if _, err := p.Acquire(netip.MustParseAddr("192.0.2.1"), 0, time.Now()); !problem.Is(err, problem.Invalid) {
			t.Errorf("got %v", err)
		}
	}
	if len(p.hosts) != 0 {
		t.Error("an address that is not ours left a trace")
	}
}

func TestSocketThatCannotBeKeptIsClosed(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.refuse = errors.New("the supervisor is full")
	p := newPool(t, Config{First: 21500, Last: 21501}, s)
	if _, err := p.Acquire(netip.MustParseAddr("127.0.0.25"), 0, time.Now()); !errors.Is(err, s.refuse) {
		t.Errorf("got %v", err)
	}
	s.refuse = nil
	acquire(t, p, "127.0.0.25", time.Now()) // the only port is free
}

func TestSweepClosesWhatIsIdle(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	p := newPool(t, Config{First: 21600, Last: 21699}, s)
	start := time.Now()
	a, b := acquire(t, p, "127.0.0.26", start), acquire(t, p, "127.0.0.26", start)
	if err := errors.Join(p.Release(a, start), p.Release(b, start.Add(time.Minute))); err != nil {
		t.Fatal(err)
	}
	if err := p.Sweep(start.Add(idleLimit)); err != nil {
		t.Fatal(err)
	}
	if _, open := p.Use(); open != 2 || len(s.held) != 1 {
		t.Errorf("open %d, held %d", open, len(s.held))
	}
	if err := p.Sweep(start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, open := p.Use(); open != 0 || len(s.held) != 0 || len(p.hosts) != 0 {
		t.Errorf("open %d, held %d, hosts %d", open, len(s.held), len(p.hosts))
	}
}

func TestRecovery(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	cfg := Config{First: 21700, Last: 21799}
	before := newPool(t, cfg, s)
	now := time.Now()
	inCall, idle, late := acquire(t, before, "127.0.0.27", now), acquire(t, before, "127.0.0.27", now), acquire(t, before, "127.0.0.27", now)
	if err := errors.Join(before.Release(idle, now), before.Release(late, now)); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("udp", inCall.Local.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("while nobody was there")); err != nil {
		t.Fatal(err)
	}

	after := newPool(t, cfg, s)
	handed := s.hand()
	odd, err := udpio.Open(netip.MustParseAddrPort("127.0.0.27:21900"), udpio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	handed["rtpzz"] = []int{odd} // a single one is no pair
	if err := after.Adopt(handed); err == nil {
		t.Error("a single socket was adopted")
	}
	missing := netip.MustParseAddrPort("127.0.0.28:21798")
	lost := netip.MustParseAddrPort("192.0.2.1:21798")
	got, err := after.Claim(map[netip.AddrPort]uint8{inCall.Local: 46, late.Local: 34, missing: 46, lost: 46}, now)
	if err == nil || got[lost] != nil {
		t.Error("a pair on a lost address came back")
	}
	if got[inCall.Local] == nil || got[late.Local] == nil || got[missing] == nil {
		t.Fatalf("came back: %v", got)
	}
	batch := udpio.NewBatch(1, 64, false)
	if n, _ := batch.Recv(got[inCall.Local].RTP); n != 1 || string(batch.Packet(0)) != "while nobody was there" {
		t.Errorf("%d packets waited", n)
	}
	if n, open := after.Use(); n != 6 || open != 8 {
		t.Errorf("used %d, open %d", n, open)
	}
	again := acquire(t, after, "127.0.0.27", now.Add(time.Minute))
	if again.Local != idle.Local {
		t.Errorf("the idle pair is not used again: %s", again.Local)
	}
}

func TestRangeMustHoldAPair(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{}, {80, 90}, {20000, 20000}, {20001, 20002}, {30000, 20000}} {
		if _, err := New(cfg, nil); !problem.Is(err, problem.Invalid) {
			t.Errorf("%v: %v", cfg, err)
		}
	}
}
