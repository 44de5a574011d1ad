package relay

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// road is a bypass whose counts the test says.
type road struct {
	passed Passed
	closed int
	freed  int
	early  bool // it has not begun
	slow   bool // it does not end at once
}

func (r *road) Passed() Passed { return r.passed }
func (r *road) Close()         { r.closed++ }
func (r *road) Release()       { r.freed++ }
func (r *road) Over() bool     { return !r.slow }

func (r *road) Begun() (int64, bool) { return 0, !r.early }

// wait makes a packet wait in a stream's socket while its loop cannot take it.
func wait(t *testing.T, s *Stream) {
	t.Helper()
	from, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(from)
	to, err := udpio.Local(s.rtp.fd)
	if err == nil {
		err = udpio.Disconnect(s.rtp.fd) // or it would not take a stranger's
	}
	if err == nil {
		err = unix.Sendto(from, []byte("waits"), 0, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// settledTime is when peers that were proven a moment ago are settled.
const settledTime = int64(3500 * time.Millisecond)

// talking returns two parties that have heard each other and are settled at the time now.
func talking(t *testing.T, host string) (l *Loop, a, b *phone, now int64) {
	t.Helper()
	l = startLoop(t, true)
	a, b = newPhone(t, l, "127.0."+host+".1", "127.0."+host+".3"), newPhone(t, l, "127.0."+host+".2", "127.0."+host+".3")
	join(t, l, a, b, a.terms(), b.terms())
	for range 2 {
		write(t, a.rtp, a.ours[0], a.packet("a"))
		hear(t, b.rtp)
		write(t, b.rtp, b.ours[0], b.packet("b"))
		hear(t, a.rtp)
	}
	do(t, l, func(at int64) {
		now = at + settledTime
		a.stream.Tend(now)
		b.stream.Tend(now)
	})
	return l, a, b, now
}

func TestWhoMayHaveABypass(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(a, b *Stream, now *int64){
		"a packet waits":                func(a, _ *Stream, _ *int64) { wait(t, a) },
		"a peer is not settled":         func(_, _ *Stream, now *int64) { *now -= settledTime },
		"the other one has not spoken":  func(_, b *Stream, _ *int64) { b.rtp.peer.connected = false },
		"a party has fallen silent":     func(a, _ *Stream, now *int64) { *now += int64(rebindTime) },
		"there is one already":          func(a, _ *Stream, now *int64) { a.SetBypass(&road{}, *now) },
		"a sink hears":                  func(a, _ *Stream, _ *int64) { a.SetSinks(&ledger{}) },
		"somebody else sends":           func(a, b *Stream, _ *int64) { a.SetRoute(Route{To: b, Media: true, Tapped: true}) },
		"payload types are mapped":      func(a, b *Stream, _ *int64) { a.SetRoute(Route{To: b, Media: true, Types: &Types{}}) },
		"media may not flow":            func(a, b *Stream, _ *int64) { a.SetRoute(Route{To: b}) },
		"there is no way":               func(a, _ *Stream, _ *int64) { a.SetRoute(Route{}) },
		"the other one talks elsewhere": func(_, b *Stream, _ *int64) { b.SetRoute(Route{}) },
		"it is not RTP":                 func(a, _ *Stream, _ *int64) { a.terms.Opaque = true },
		"the parties key end to end":    func(a, _ *Stream, _ *int64) { a.state.Encrypted = true },
		"this side is protected":        func(a, _ *Stream, _ *int64) { a.SetGuard(Guard{Locked: true}) },
		"the other side is protected":   func(_, b *Stream, _ *int64) { b.SetGuard(Guard{Locked: true}) },
		"its formats are others":        func(a, _ *Stream, _ *int64) { a.SetTerms(Terms{Formats: []Format{{PayloadType: 9, ClockRate: 8000}}}) },
		"the last one was of no use":    func(a, _ *Stream, now *int64) { a.noBypassUntil = *now + 1 },
	} {
		t.Run(name, func(t *testing.T) {
			l, a, b, now := talking(t, "17")
			do(t, l, func(int64) {
				if p, ok := a.stream.Plan(now); !ok || p.Peer != local(a.rtp) || p.To != local(b.rtp) || p.SSRC != 0xabc ||
					p.Types != [MaxCarried]uint8{0, NoType, NoType, NoType} || p.Start.Formats[0] != 1 || p.Start.Highest != uint32(a.seq) {
					t.Errorf("plan %+v, %v", p, ok)
				}
				spoil(a.stream, b.stream, &now)
				if p, ok := a.stream.Plan(now); ok {
					t.Errorf("plan %+v", p)
				}
			})
		})
	}
}

func TestChangesTakeAStreamBack(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(s *Stream){
		"terms": func(s *Stream) { s.SetTerms(s.terms) },
		"route": func(s *Stream) { s.SetRoute(s.route) },
		"guard": func(s *Stream) { s.SetGuard(Guard{}) },
		"end":   func(s *Stream) { s.Detach() },
	} {
		t.Run(name, func(t *testing.T) {
			l, a, b, now := talking(t, "18")
			for _, p := range []*phone{a, b} { // whichever of the two it is
				var ra, rb road
				do(t, l, func(int64) {
					rb.early = true
					a.stream.SetBypass(&ra, now)
					b.stream.SetBypass(&rb, now)
					begun := 1
					if a.stream.detached { // by the first of the two
						begun = 0
					}
					if l.Bypasses() != begun {
						t.Errorf("%d bypasses have begun", l.Bypasses())
					}
					change(p.stream)
					if ra.closed != 1 || rb.closed != 1 || l.Bypasses() != 0 {
						t.Errorf("closed %d and %d times, %d are left", ra.closed, rb.closed, l.Bypasses())
					}
				})
				join(t, l, a, b, a.terms(), b.terms())
			}
		})
	}
}

func TestWhatABypassCountsIsTheStreams(t *testing.T) {
	t.Parallel()
	l, a, b, now := talking(t, "19")
	before, other := a.state(), b.state()
	r := &road{passed: Passed{Slot: 8, Formats: [MaxCarried]uint8{1}, Highest: before.In.Highest, Rate: 8000}}
	r.passed.Packets[0]++ // it was quicker than we
	r.passed.Highest++
	do(t, l, func(int64) { a.stream.SetBypass(r, now) })
	if st := a.state(); st.In.Packets != before.In.Packets+1 || st.Offloaded != 1 {
		t.Errorf("what passed before we looked is not counted: %+v", st)
	}
	before, other = a.state(), b.state()
	r.passed.Packets[0], r.passed.Bytes, r.passed.Last, r.passed.Strangers = 1<<32-1, 1720, now+7, 2
	do(t, l, func(int64) { a.stream.state.Passed.Packets[0] = 1<<32 - 1 }) // the counter is about to turn over
	r.passed.Packets[0] += 10
	r.passed.Highest += 12
	r.passed.Timed, r.passed.Jitter, r.passed.JitterSum = 10, 160, 1600
	for range 2 { // looking twice counts once
		st := a.state()
		if st.In.Packets != before.In.Packets+10 || st.In.Lost() != 2 || st.BytesIn != before.BytesIn+1720 || st.Last != now+7 ||
			st.ByFormat[0] != before.ByFormat[0]+10 || st.Offloaded != 11 || st.Strangers != 2 {
			t.Errorf("state %+v", st)
		}
		if st.In.Timed != before.In.Timed+10 || st.In.JitterSum-before.In.JitterSum != 1600*(1e9/16)/8000 || st.In.Jitter != 160 {
			t.Errorf("jitter %+v", st.In)
		}
		if out := b.state().Out; out != other.Out+10 {
			t.Errorf("%d packets went out to the other party, not 10", out-other.Out)
		}
	}
	do(t, l, func(int64) {
		a.stream.EndBypass()
		a.stream.EndBypass()
	})
	r.passed.Packets[0]++ // the kernel had one in hand
	if st := a.state(); r.closed != 1 || r.freed != 0 || st.Offloaded != 12 {
		t.Errorf("closed %d times, freed %d times, state %+v", r.closed, r.freed, st)
	}
	do(t, l, func(int64) {
		if _, ok := a.stream.Plan(now + 7); ok {
			t.Error("another one though the last is not settled")
		}
		a.stream.Tend(now)
		a.stream.Tend(now)
	})
	if st := a.state(); r.freed != 1 || st.Offloaded != 12 || st.Passed != (Passed{}) {
		t.Errorf("freed %d times, state %+v", r.freed, st)
	}
}

func TestStrayPacketsEndABypass(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		after  time.Duration // of the bypass' begin
		change func(p []byte)
		ends   bool
	}{
		{"from before", strayTime / 2, func([]byte) {}, false},
		{"a key press", time.Second, func(p []byte) { p[1] = 101 }, false},
		{"an unknown format", time.Second, func(p []byte) { p[1] = 97 }, false},
		{"media", time.Second, func([]byte) {}, true},
		{"another source", 0, func(p []byte) { p[11] ^= 1 }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, a, b, _ := talking(t, "20")
			var r road
			do(t, l, func(now int64) { a.stream.SetBypass(&r, now-int64(c.after)) })
			p := a.packet("x")
			c.change(p)
			write(t, a.rtp, a.ours[0], p)
			hear(t, b.rtp) // it reaches the other party in any case
			do(t, l, func(now int64) {
				if ended := r.closed == 1; ended != c.ends || ended != (a.stream.noBypassUntil > now) {
					t.Errorf("ended %v, and none before %v", ended, time.Duration(a.stream.noBypassUntil-now))
				}
				pause := shortPause
				for range 10 { // a bypass that is always missed is tried ever more seldom
					a.stream.SetBypass(&r, 0)
					a.stream.stray(a.stream.state.In.SSRC, 1, now)
					if got := time.Duration(a.stream.noBypassUntil - now); got < pause || got > longPause {
						t.Errorf("pause %v", got)
					}
				}
				if got := time.Duration(a.stream.noBypassUntil - now); got != longPause {
					t.Errorf("at last a pause of %v", got)
				}
			})
		})
	}
}

// A party that is silent comes back to the socket, where another port of its host can be proven.
func TestSilenceEndsABypass(t *testing.T) {
	t.Parallel()
	l, a, _, now := talking(t, "21")
	r := &road{passed: Passed{Formats: [MaxCarried]uint8{1}}}
	do(t, l, func(int64) {
		a.stream.SetBypass(r, now)
		r.passed.Packets[0], r.passed.Last = 1, now
		a.stream.Tend(now + int64(rebindTime) - 1)
		if r.closed != 0 {
			t.Error("ended though the kernel has heard the party")
		}
		a.stream.Tend(now + int64(rebindTime))
		if r.closed != 1 || a.stream.rtp.peer.connected {
			t.Error("not taken back from a party that is silent")
		}
	})
}

// A bypass that begins later, and ends later, takes nothing from the socket before and gives up nothing
// until all is counted.
func TestABypassThatTakesAWhile(t *testing.T) {
	t.Parallel()
	l, a, b, _ := talking(t, "22")
	r := &road{early: true, slow: true, passed: Passed{Slot: 3, Formats: [MaxCarried]uint8{1}, Rate: 8000, Blind: true, Highest: a.state().In.Highest}}
	do(t, l, func(now int64) { a.stream.SetBypass(r, now-int64(time.Second)) })
	write(t, a.rtp, a.ours[0], a.packet("x"))
	hear(t, b.rtp)
	if a.state(); r.closed != 0 {
		t.Error("a packet that came before it began ended it")
	}
	r.early = false
	write(t, a.rtp, a.ours[0], a.packet("x"))
	hear(t, b.rtp)
	do(t, l, func(now int64) {
		if r.closed != 1 {
			t.Error("a packet that missed it did not end it")
		}
		a.stream.noBypassUntil = 0
		a.stream.Tend(now + int64(time.Second))
		if _, ok := a.stream.Plan(now + int64(time.Second)); ok || r.freed != 0 {
			t.Errorf("another one, or freed %d times, before it was over", r.freed)
		}
		r.slow = false
		a.stream.Tend(now + int64(time.Second))
		if r.freed != 1 || !a.stream.State().In.Started {
			t.Errorf("freed %d times, %+v", r.freed, a.stream.State())
		}
		a.stream.TakeBack(now + int64(time.Minute))
		if _, ok := a.stream.Plan(now + int64(time.Second)); ok {
			t.Error("another one though a change is under way")
		}
	})
}

// What is lost among packets that nobody saw is known when the next one comes to the socket, and never
// if it is not known how many there were.
func TestLossWhereNobodySaw(t *testing.T) {
	t.Parallel()
	for _, slow := range []bool{false, true} {
		l, a, b, _ := talking(t, "23")
		before := a.state()
		r := &road{slow: slow, passed: Passed{Slot: 3, Formats: [MaxCarried]uint8{1}, Rate: 8000, Blind: true, Highest: before.In.Highest}}
		do(t, l, func(now int64) { a.stream.SetBypass(r, now) })
		const passed, lost = 5000, 7
		r.passed.Packets[0], r.passed.Highest = passed, before.In.Highest+passed
		if st := a.state(); st.Unseen != passed || st.In.Lost() != before.In.Lost() || st.In.Packets != before.In.Packets+passed {
			t.Errorf("while it passes: %+v", st)
		}
		r.passed.Last = before.Last + int64(time.Hour)
		if st := a.state(); st.Last != r.passed.Last || st.Unseen != passed {
			t.Errorf("it is known to be heard: %+v", st)
		}
		do(t, l, func(int64) { a.stream.EndBypass() })
		a.seq += passed + lost
		write(t, a.rtp, a.ours[0], a.packet("x"))
		hear(t, b.rtp)
		do(t, l, func(int64) { a.stream.DropBypass() }) // who makes bypasses has gone since
		st := a.state()
		if slow && (st.In.Lost() != before.In.Lost() || st.Unmeasured != passed || st.Unseen != 0) {
			t.Errorf("after an end of which not all is known: %+v", st)
		}
		if !slow && (st.In.Lost() != before.In.Lost()+lost || st.Unmeasured != 0 || st.Unseen != 0) {
			t.Errorf("after the end: %+v", st)
		}
	}
}
