package ntp

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/beevik/ntp"
	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func TestMain(m *testing.M) {
	if code, entered := netlab.Enter(); entered {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestLiarsAreOutvoted(t *testing.T) {
	t.Parallel()
	now := time.Unix(1.8e9, 0)
	ms := time.Millisecond
	says := func(offset, distance time.Duration) sample {
		return sample{at: now, offset: offset, distance: distance}
	}
	old := says(0, ms)
	old.at = now.Add(-time.Hour)
	for name, c := range map[string]struct {
		samples []sample
		near    time.Duration // of the offset
		agree   []int
	}{
		"none":                       {nil, 0, nil},
		"one":                        {[]sample{says(40*ms, 10*ms)}, 40 * ms, []int{0}},
		"two that agree":             {[]sample{says(40*ms, 10*ms), says(45*ms, 10*ms)}, 42 * ms, []int{0, 1}},
		"two that contradict":        {[]sample{says(40*ms, 10*ms), says(400*ms, 10*ms)}, 0, nil},
		"one liar of three":          {[]sample{says(40*ms, 10*ms), says(time.Hour, ms), says(45*ms, 10*ms)}, 42 * ms, []int{0, 2}},
		"two liars of five":          {[]sample{says(0, ms), says(2*ms, 3*ms), says(-1*ms, 3*ms), says(time.Hour, ms), says(-time.Hour, ms)}, 0, []int{0, 1, 2}},
		"half lie":                   {[]sample{says(0, ms), says(0, ms), says(time.Hour, ms), says(time.Hour, ms)}, 0, nil},
		"a vague one does not count": {[]sample{says(10*ms, ms), says(300*ms, 500*ms)}, 10 * ms, []int{0, 1}},
		"an old one is left out":     {[]sample{old, says(40*ms, 10*ms)}, 40 * ms, []int{1}},
	} {
		offset, agree, ok := choose(c.samples, now)
		if !slices.Equal(agree, c.agree) || ok != (c.agree != nil) || (offset-c.near).Abs() > 3*ms {
			t.Errorf("%s: %v, %v, %v", name, offset, agree, ok)
		}
	}
}

// moved is a clock that notes what it is told.
type moved struct {
	slews, steps []time.Duration
	err          error
}

func (m *moved) Slew(d, _ time.Duration) error { m.slews = append(m.slews, d); return m.err }
func (m *moved) Step(d time.Duration) error    { m.steps = append(m.steps, d); return m.err }

func answering(offset *time.Duration) func(context.Context, string) (*ntp.Response, netip.Addr, error) {
	return func(_ context.Context, name string) (*ntp.Response, netip.Addr, error) {
		if name == "dead" {
			return nil, netip.Addr{}, errors.New("no route to host")
		}
		now := time.Now()
		return &ntp.Response{
			Time: now, ReferenceTime: now.Add(-time.Minute), ClockOffset: *offset, Stratum: 2, RTT: 10 * time.Millisecond,
			RootDelay: 5 * time.Millisecond, RootDispersion: time.Millisecond, RootDistance: 9 * time.Millisecond, Poll: time.Minute,
		}, netip.MustParseAddr("192.0.2.1"), nil
	}
}

func TestTheClockIsSteppedOnceThenSlewed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clock := &moved{}
		offset := 3 * time.Hour
		c := NewClient([]string{"a", "b", "dead"}, nil, clock, quiet())
		c.query = answering(&offset)
		if st := c.State(); st.Synced || st.Leap != leapUnknown {
			t.Errorf("before it began: %+v", st)
		}
		c.round(t.Context())
		if len(clock.steps) != 1 || clock.steps[0] != offset || c.next(firstPoll) != firstPoll {
			t.Errorf("far away: %+v", clock)
		}
		time.Sleep(firstPoll)
		offset = 20 * time.Millisecond
		c.round(t.Context())
		if len(clock.slews) != 1 || clock.slews[0] != offset || len(clock.steps) != 1 {
			t.Errorf("near: %+v", clock)
		}
		st := c.State()
		if !st.Synced || st.Stratum != 3 || st.Leap != 0 || st.Reference != [4]byte{192, 0, 2, 1} || !st.Sources[0].Selected || st.Sources[2].Selected ||
			st.Sources[2].Fault == "" || st.Sources[0].Reach != 3 || st.Sources[2].Reach != 0 {
			t.Errorf("%+v", st)
		}
		if c.next(minPoll) != 2*minPoll || c.next(maxPoll) != maxPoll {
			t.Error("all is well, but it is asked as often")
		}
		time.Sleep(minPoll)
		offset = 2 * time.Hour
		c.round(t.Context())
		if len(clock.steps) != 1 || len(clock.slews) != 1 {
			t.Errorf("sources gone mad are followed: %+v", clock)
		}
	})
}

func TestWithoutSourcesTheClockIsHeldForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		offset := time.Millisecond
		c := NewClient([]string{"a"}, nil, nil, quiet())
		c.query = answering(&offset)
		c.round(t.Context())
		c.query = func(context.Context, string) (*ntp.Response, netip.Addr, error) {
			return nil, netip.Addr{}, os.ErrDeadlineExceeded
		}
		time.Sleep(12 * time.Hour)
		c.round(t.Context())
		if st := c.State(); !st.Synced || st.dispersionAt(time.Now()) < 600*time.Millisecond {
			t.Errorf("after 12 h: %+v, dispersion %v", st, st.dispersionAt(time.Now()))
		}
		time.Sleep(24 * time.Hour)
		if st := c.State(); st.Synced || st.Leap != leapUnknown {
			t.Errorf("after 36 h: %+v", st)
		}
		if f := c.State().Sources[0].Fault; f != "no answer" {
			t.Errorf("fault %q", f)
		}
	})
}

func TestAKissIsObeyed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := NewClient([]string{"a"}, nil, nil, quiet())
		c.query = func(context.Context, string) (*ntp.Response, netip.Addr, error) {
			asked++
			return &ntp.Response{Stratum: 0, KissCode: "RATE"}, netip.Addr{}, nil
		}
		c.round(t.Context())
		time.Sleep(time.Minute)
		c.round(t.Context())
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		time.Sleep(kissWait)
		c.round(t.Context())
		if asked != 2 {
			t.Error("never asked again")
		}
	})
}

func request(first byte) []byte {
	b := make([]byte, packetBytes)
	b[0] = first
	binary.BigEndian.PutUint64(b[40:], 0x0102030405060708)
	return b
}

func TestReplies(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	synced := State{Synced: true, Stratum: 3, RootDisp: time.Second, Updated: at, Reference: [4]byte{192, 0, 2, 1}}
	now := func() time.Time { return at.Add(time.Millisecond) }
	for name, c := range map[string]struct {
		in    []byte
		st    State
		first byte // of the reply; 0 for none
		str   byte
	}{
		"version 4":          {request(4<<3 | modeClient), synced, 4<<3 | modeServer, 3},
		"version 3":          {request(3<<3 | modeClient), synced, 3<<3 | modeServer, 3},
		"not synchronised":   {request(4<<3 | modeClient), State{}, 3<<6 | 4<<3 | modeServer, 0},
		"with an extension":  {append(request(4<<3|modeClient), make([]byte, 20)...), synced, 4<<3 | modeServer, 3},
		"too short":          {request(4<<3 | modeClient)[:47], synced, 0, 0},
		"a server":           {request(4<<3 | modeServer), synced, 0, 0},
		"a peer":             {request(4<<3 | 1), synced, 0, 0},
		"a control message":  {request(2<<3 | 6), synced, 0, 0},
		"a version to come":  {request(5<<3 | modeClient), synced, 0, 0},
		"a leap is told":     {request(4<<3 | modeClient), State{Synced: true, Stratum: 2, Leap: 1, Updated: at}, 1<<6 | 4<<3 | modeServer, 2},
		"stratum out of use": {request(4<<3 | modeClient), State{Synced: true, Stratum: 16, Updated: at}, 3<<6 | 4<<3 | modeServer, 0},
	} {
		b, ok := reply(c.in, c.st, at, now)
		if ok != (c.first != 0) || ok && (b[0] != c.first || b[1] != c.str || len(b) != packetBytes || !slices.Equal(b[24:32], c.in[40:48])) {
			t.Errorf("%s: %x, %v", name, b, ok)
		}
	}
	if got := timestamp(time.Date(1999, 12, 31, 23, 59, 59, 500e6, time.UTC)); got != 3155673599<<32|1<<31 {
		t.Errorf("timestamp %x", got)
	}
	if short(1500*time.Millisecond) != 0x18000 || short(-time.Second) != 0 {
		t.Error("short format")
	}
}

func TestAHostGetsTheTimeOfTheBox(t *testing.T) {
	t.Parallel()
	phone := netlab.New(t).Cable(t, "phone", "nt-a")
	if out, err := exec.Command("ip", "addr", "add", "10.24.0.1/24", "dev", "nt-a").CombinedOutput(); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	phone.Output(t, "ip", "addr", "add", "10.24.0.2/24", "dev", "eth0")
	st := State{Synced: true, Stratum: 2, RootDelay: time.Millisecond, RootDisp: time.Millisecond, Updated: time.Now().Add(-time.Minute), Reference: [4]byte{192, 0, 2, 1}}
	at := netip.MustParseAddr("10.24.0.1")
	s := NewServer([]Place{{Iface: "nt-a", Addr: at, From: []netip.Prefix{netip.MustParsePrefix("10.24.0.2/32")}}}, func() State { return st }, quiet())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	c := NewClient([]string{"10.24.0.1"}, nil, nil, quiet())
	c.query = func(context.Context, string) (*ntp.Response, netip.Addr, error) {
		r, err := ntp.QueryWithOptions("10.24.0.1", ntp.QueryOptions{
			Timeout: time.Second, Dialer: func(_, remote string) (net.Conn, error) { return phone.Dial("udp", remote) },
		})
		return r, at, err
	}
	for try := 0; try < 20 && !c.State().Synced; try++ { // until the server has its socket
		c.round(t.Context())
	}
	got := c.State()
	if !got.Synced || got.Stratum != 3 || got.Offset.Abs() > time.Second || got.Reference != at.As4() {
		t.Errorf("%+v", got)
	}
}

func FuzzReply(f *testing.F) {
	f.Add(request(4<<3 | modeClient))
	f.Add([]byte{0x1b})
	f.Fuzz(func(t *testing.T, b []byte) {
		if out, ok := reply(b, State{Synced: true, Stratum: 2}, time.Unix(1e9, 0), time.Now); ok && len(out) > len(b) {
			t.Error("longer than the request")
		}
	})
}

func BenchmarkReply(b *testing.B) {
	in, st, now := request(4<<3|modeClient), State{Synced: true, Stratum: 2}, time.Now()
	b.ReportAllocs()
	for b.Loop() {
		reply(in, st, now, time.Now)
	}
}
