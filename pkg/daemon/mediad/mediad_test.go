package mediad

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/port"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func TestVerbsOverTheSocket(t *testing.T) {
	t.Parallel()
	c := start(t)
	events := make(chan ctl.MediaEvent, 10)
	ctx, cancel := context.WithCancel(t.Context())
	listening := make(chan error, 1)
	go func() {
		listening <- c.Events(ctx, func(ev ctl.MediaEvent) error { events <- ev; return nil })
	}()
	a, b := call(t, c, "one")
	for i := range 5 {
		if err := a.send(); err != nil {
			t.Fatal(err)
		}
		if seq, err := b.receive(2 * time.Second); err != nil || int(seq) != i+1 {
			t.Fatalf("packet %d came as %d, %v", i+1, seq, err)
		}
	}
	if ev := <-events; ev.Kind != ctl.MediaStarted || ev.Session != "one" || ev.Leg != "a" {
		t.Errorf("event %+v", ev)
	}
	st, err := c.Status(ctx)
	if err != nil || st.Version != "1.2.3" || st.Started.IsZero() || st.Sessions != 1 || st.Packets != 5 ||
		st.Ports != (ctl.PortUse{First: 24000, Last: 24999, Used: 4, Open: 4}) || len(st.Alarms) != 0 {
		t.Errorf("status %+v, %v", st, err)
	}
	all, err := c.Sessions(ctx)
	if err != nil || len(all) != 1 || all[0].Streams[0].PacketsIn != 5 {
		t.Errorf("sessions %+v, %v", all, err)
	}
	up, err := c.Update(ctx, ctl.MediaUpdate{Session: "one", Legs: []ctl.MediaLeg{a.leg("a")}})
	if err != nil || len(up.Ports["a"]) != 1 || up.Ports["a"][0].RTP != a.to {
		t.Errorf("updated %+v, %v", up, err)
	}
	closed, err := c.CloseSession(ctx, ctl.MediaClose{Session: "one"})
	if err != nil || len(closed.Streams) != 2 || closed.Streams[1].PacketsOut != 5 {
		t.Errorf("closed %+v, %v", closed, err)
	}
	if _, err := c.CloseSession(ctx, ctl.MediaClose{Session: "one"}); !problem.Is(err, problem.Missing) {
		t.Errorf("closed twice: %v", err)
	}
	cancel()
	<-listening
}

func TestVerbsThatAreNone(t *testing.T) {
	t.Parallel()
	d := &Daemon{}
	if _, err := d.verb(99, nil); !problem.Is(err, problem.Invalid) {
		t.Errorf("verb 99: %v", err)
	}
	for _, verb := range []uint8{ctl.VerbOffer, ctl.VerbAnswer, ctl.VerbUpdate, ctl.VerbClose} {
		if _, err := d.verb(verb, []byte("{")); !problem.Is(err, problem.Invalid) {
			t.Errorf("verb %d with another body: %v", verb, err)
		}
	}
}

func TestBadRangeIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{Ports: port.Config{First: 9, Last: 8}}, nil, nil, slog.New(slog.DiscardHandler)); !problem.Is(err, problem.Invalid) {
		t.Errorf("got %v", err)
	}
}

func TestHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h hub
		h.tell(ctl.MediaEvent{Session: "before anybody listens"})
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		ended := make(chan error, 1)
		go func() {
			ended <- h.send(ctx, func(v any) error {
				ev := v.(ctl.MediaEvent)
				got = append(got, fmt.Sprint(ev.Session, ev.Alive))
				return nil
			})
		}()
		synctest.Wait()
		h.tell(ctl.MediaEvent{Session: "now"})
		time.Sleep(aliveEvery + time.Second)
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if want := `["before anybody listensfalse","nowfalse","true"]`; text(got) != want {
			t.Errorf("got %s, want %s", text(got), want)
		}
		if len(h.readers) != 0 {
			t.Error("a reader that left is still served")
		}
	})
}

func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func TestSlowReaderIsCutOff(t *testing.T) {
	t.Parallel()
	var h hub
	for range maxWaiting + 5 { // the oldest are forgotten
		h.tell(ctl.MediaEvent{})
	}
	ch := h.join()
	if len(ch) != maxWaiting {
		t.Fatalf("%d events wait", len(ch))
	}
	h.tell(ctl.MediaEvent{})
	n := 0
	for range ch {
		n++
	}
	if n != maxWaiting || len(h.readers) != 0 {
		t.Errorf("%d events, %d readers", n, len(h.readers))
	}
	h.tell(ctl.MediaEvent{})
	away := errors.New("the peer went away")
	if err := h.send(t.Context(), func(any) error { return away }); !errors.Is(err, away) {
		t.Errorf("got %v", err)
	}
}

func TestAlarms(t *testing.T) {
	t.Parallel()
	var a alarms
	if got := a.look(0.5, 0, false); len(got) != 0 {
		t.Errorf("alarms %+v", got)
	}
	first := a.look(portsLow, 2, true)
	again := a.look(1, 3, true)
	if len(first) != 3 || first[2].Code != "media.stun" || first[0].Code != "media.ports.low" || first[1].Code != "media.fault" || first[0].Cure == "" {
		t.Fatalf("alarms %+v", first)
	}
	for i := range again {
		if again[i].Since != first[i].Since {
			t.Errorf("%s began twice", again[i].Code)
		}
	}
}
