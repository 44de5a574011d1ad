package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/pn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script answers each try with the next error, and notes when it came.
type script struct {
	mu      sync.Mutex // guards what follows
	answers []error
	takes   time.Duration
	tried   []time.Time
	notes   []Note
}

func (s *script) Send(ctx context.Context, _ Device, n Note) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried, s.notes = append(s.tried, time.Now()), append(s.notes, n)
	var err error
	if len(s.answers) > 0 {
		err, s.answers = s.answers[0], s.answers[1:]
	}
	if s.takes == 0 {
		return err
	}
	s.mu.Unlock()
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.mu.Lock()
	return err
}

func (s *script) tries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tried)
}

func phone(key string) Device {
	return Device{Key: key, Params: pn.Params{Provider: pn.FCM, PRID: "token-of-" + key, Param: "project"}}
}

func note(use pn.Use, callID string) Note {
	return Note{ID: "id", Use: use, CallID: callID, From: "sip:asha@pbx.example", FromName: "Asha Rao", To: "sip:bala@pbx.example", Until: time.Now().Add(time.Minute)}
}

// running runs a pusher in virtual time.
func running(t *testing.T, senders map[string]Sender, do func(p *Pusher)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{Senders: senders, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		do(p)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestAProviderInTroubleIsTriedAgain(t *testing.T) {
	t.Parallel()
	busy := errors.New("busy")
	for name, c := range map[string]struct {
		answers []error
		tries   int
		after   time.Duration // until it is over
		failed  bool
	}{
		"at once":      {nil, 1, 0, false},
		"later":        {[]error{busy, busy, busy}, 4, 7 * time.Second, false},
		"never":        {[]error{busy, busy, busy, busy, busy, busy, busy}, 6, 31 * time.Second, true},
		"gone":         {[]error{busy, ErrGone}, 2, time.Second, true},
		"refused":      {[]error{ErrRefused}, 1, 0, true},
		"not for this": {[]error{ErrUnable}, 1, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{answers: c.answers}
			running(t, map[string]Sender{pn.FCM: s}, func(p *Pusher) {
				begin := time.Now()
				if !p.Wake(phone("d1"), note(pn.Message, "c1")) {
					t.Error("not taken")
				}
				time.Sleep(50 * time.Second)
				synctest.Wait()
				if s.tries() != c.tries || s.tried[c.tries-1].Sub(begin) != c.after {
					t.Errorf("%d tries, the last after %v", s.tries(), s.tried[len(s.tried)-1].Sub(begin))
				}
				h := p.Health(phone("d1"))
				if h.Able != (name != "gone") || h.Tried.IsZero() || (h.Error != "") != c.failed || h.Sent.IsZero() != c.failed {
					t.Errorf("%+v", h)
				}
				p.Forget("d1")
				if h := p.Health(phone("d1")); h != (ctl.PushHealth{Able: true}) {
					t.Errorf("it is not forgotten: %+v", h)
				}
			})
		})
	}
}

func TestANoteThatIsOfNoUseIsNotSent(t *testing.T) {
	t.Parallel()
	busy := errors.New("busy")
	s := &script{answers: []error{busy, busy, busy, busy, busy, busy, busy, busy, busy, busy}}
	running(t, map[string]Sender{pn.FCM: s}, func(p *Pusher) {
		call := note(pn.Call, "c1")
		call.Until = time.Now().Add(4 * time.Second)
		p.Wake(phone("d1"), call)
		time.Sleep(40 * time.Second)
		if s.tries() != 3 { // at 0, 1 and 3 s
			t.Errorf("%d tries", s.tries())
		}
		p.Wake(phone("d1"), note(pn.Call, "c2"))
		time.Sleep(500 * time.Millisecond)
		p.Cancel("c2")
		time.Sleep(40 * time.Second)
		if s.tries() != 4 {
			t.Errorf("%d tries after the call was answered", s.tries())
		}
	})
}

func TestOneNoteWakesForAllMessages(t *testing.T) {
	t.Parallel()
	s := &script{takes: 10 * time.Second}
	running(t, map[string]Sender{"": s}, func(p *Pusher) {
		for range 5 {
			p.Wake(phone("d1"), note(pn.Message, "m"))
		}
		p.Wake(phone("d2"), note(pn.Message, "m"))
		p.Wake(phone("d1"), note(pn.Call, "c1"))
		p.Wake(phone("d1"), note(pn.Call, "c2"))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if s.tries() != 4 {
			t.Errorf("%d notes", s.tries())
		}
		p.Wake(phone("d1"), note(pn.Message, "m"))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if s.tries() != 5 {
			t.Errorf("%d notes after the first were taken", s.tries())
		}
	})
}

// A device that its provider does not know any more is left alone until it registers anew, or with
// another token.
func TestADeviceThatIsGoneIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := &script{answers: []error{ErrGone, ErrGone}}
	running(t, map[string]Sender{pn.FCM: s}, func(p *Pusher) {
		failed := 0
		n := note(pn.Call, "c1")
		n.Failed = func() { failed++ }
		if !p.Wake(phone("d1"), n) {
			t.Error("not taken")
		}
		synctest.Wait()
		if h := p.Health(phone("d1")); h.Able || failed != 1 || h.Fault != ctl.PushGone {
			t.Errorf("told %d times, %+v", failed, h)
		}
		if p.Wake(phone("d1"), note(pn.Call, "c2")) || p.Wake(phone("d1"), note(pn.Message, "m")) || s.tries() != 1 {
			t.Errorf("it is woken again, %d tries", s.tries())
		}
		other := phone("d1")
		other.PRID = "token-2"
		if !p.Wake(other, note(pn.Message, "m")) {
			t.Error("its new token is not used")
		}
		synctest.Wait()
		p.Registered("d1")
		if h := p.Health(other); h.Error != "" || !p.Wake(other, note(pn.Message, "m")) {
			t.Errorf("it is not woken after it has registered: %+v", h)
		}
		synctest.Wait()
		if h := p.Health(other); !h.Able || h.Sent.IsZero() || h.Error != "" || s.tries() != 3 || failed != 1 {
			t.Errorf("%+v, %d tries, told %d times", h, s.tries(), failed)
		}
	})
}

func TestADeviceIsNotWokenForManyCallsInARow(t *testing.T) {
	t.Parallel()
	s := &script{}
	running(t, map[string]Sender{pn.FCM: s}, func(p *Pusher) {
		taken := 0
		for i := range 3 * maxCalls {
			if p.Wake(phone("d1"), note(pn.Call, fmt.Sprint(i))) {
				taken++
			}
		}
		synctest.Wait()
		if taken != maxCalls || s.tries() != maxCalls {
			t.Errorf("%d taken, %d sent", taken, s.tries())
		}
		if !p.Wake(phone("d1"), note(pn.Message, "m")) || !p.Wake(phone("d2"), note(pn.Call, "c")) {
			t.Error("messages, or others, suffer from it")
		}
		time.Sleep(callsTime)
		if !p.Wake(phone("d1"), note(pn.Call, "later")) {
			t.Error("it is not woken a minute later")
		}
	})
}

func TestWhatWaitsIsBounded(t *testing.T) {
	t.Parallel()
	p := New(Config{Senders: map[string]Sender{pn.APNS: &script{}}, Log: slog.New(slog.DiscardHandler)})
	if p.Wake(phone("d1"), note(pn.Message, "m")) || p.Health(phone("d1")).Able {
		t.Error("a device is woken that nobody can wake")
	}
	d := phone("x")
	d.Provider = pn.APNS
	taken := 0
	for i := range maxWaiting + 10 {
		d.Key = string(rune('a'+i%26)) + string(rune('0'+i/26))
		if p.Wake(d, note(pn.Message, "m")) {
			taken++
		}
	}
	if taken != maxWaiting || len(p.waiting) != maxWaiting {
		t.Errorf("%d taken, %d wait", taken, len(p.waiting))
	}
}
