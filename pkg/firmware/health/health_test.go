package health

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sine(hz, amplitude float64) []int16 {
	s := make([]int16, frame)
	for i := range s {
		s[i] = int16(amplitude * math.Sin(2*math.Pi*hz*float64(i)/sampleRate))
	}
	return s
}

func TestAToneIsToldFromOthers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		samples []int16
		heard   bool
	}{
		"itself": {sine(toneA, level), true}, "softly": {sine(toneA, 300), true}, "the other": {sine(toneB, level), false}, "silence": {make([]int16, frame), false},
	} {
		if got := share(c.samples, toneA); (got > clear) != c.heard {
			t.Errorf("%s: %.2f", name, got)
		}
	}
}

func TestAToneIsHeardOverRTP(t *testing.T) {
	t.Parallel()
	var ends [2]net.PacketConn
	for i := range ends {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ends[i] = c
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- play(ctx, ends[0], ends[1].LocalAddr().(*net.UDPAddr).AddrPort(), toneA) }()
	if err := listen(ctx, ends[1], toneA); err != nil {
		t.Error(err)
	}
	short, stop := context.WithTimeout(ctx, 200*time.Millisecond)
	defer stop()
	if err := listen(short, ends[1], toneB); err == nil || !strings.Contains(err.Error(), "0 ms") {
		t.Errorf("a tone that nobody plays: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestMediaOf(t *testing.T) {
	t.Parallel()
	if at, err := mediaOf([]byte("v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\n")); err != nil || at.String() != "127.0.0.1:4000" {
		t.Errorf("%v, %v", at, err)
	}
	for _, bad := range []string{"", "c=IN IP4 127.0.0.1\r\n", "m=audio 4000 RTP/AVP 0\r\n", "c=IN IP4 x\r\nm=audio 1 y\r\n", "c=IN IP4 127.0.0.1\r\nm=audio 0 RTP/AVP 0\r\n", "c=IN IP4 127.0.0.1\r\nm=audio 99999 x\r\n"} {
		if at, err := mediaOf([]byte(bad)); err == nil {
			t.Errorf("%q: %v", bad, at)
		}
	}
}

func TestOnlyTheTextOfAProblemIsTold(t *testing.T) {
	t.Parallel()
	c := Config{Stores: func(context.Context) error {
		return problem.Wrap(errors.New("open /perm/x: input/output error"), problem.Unavailable, "store.away", "the records cannot be read", "look at the disk")
	}, Log: slog.New(slog.DiscardHandler)}
	if err := Check(t.Context(), c); err == nil || err.Error() != "the records: the records cannot be read" {
		t.Errorf("%v", err)
	}
	c.Stores = func(context.Context) error { return errors.New("no tone") }
	if err := Check(t.Context(), c); err == nil || err.Error() != "the records: no tone" {
		t.Errorf("%v", err)
	}
}

func TestWhereTheBoxReachesItsSIP(t *testing.T) {
	t.Parallel()
	at := func(transport, a string) ctl.Listener {
		return ctl.Listener{Transport: transport, Address: netip.MustParseAddrPort(a)}
	}
	for want, list := range map[string][]ctl.Listener{
		"127.0.0.1:5060":   {at("udp", "0.0.0.0:5060"), at("tcp", "0.0.0.0:5070")},
		"127.0.0.1:5062":   {at("udp", "[::]:5062")},
		"192.0.2.1:5060":   {at("udp", "192.0.2.1:5060")},
		"invalid AddrPort": {at("tcp", "0.0.0.0:5060")},
	} {
		got, err := listener(ctl.SwitchStatus{Listeners: list})
		if got.String() != want || (err == nil) != got.IsValid() {
			t.Errorf("%v: %v, %v", list, got, err)
		}
	}
}
