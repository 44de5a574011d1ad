package switchd

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// errHeard ends a stream that has told what was waited for.
var errHeard = errors.New("heard")

func TestABanIsToldToWhoListensAndToWhoComesLater(t *testing.T) {
	t.Parallel()
	b := startLimited(t, t.TempDir(), "pbx.test")
	guesser := netip.MustParseAddr("2001:db8:7::66")
	hear := func() *ctl.Ban {
		var ban *ctl.Ban
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		err := b.client.Events(ctx, func(ev ctl.SwitchEvent) error {
			if ban = ev.Banned; ban != nil {
				return errHeard
			}
			return nil
		})
		if !errors.Is(err, errHeard) {
			t.Error(err)
		}
		return ban
	}
	live := make(chan *ctl.Ban, 1)
	go func() { live <- hear() }()
	for range failuresUntilBan {
		ask(t, b, guesser, "alice", "guess")
	}
	for _, ban := range []*ctl.Ban{<-live, hear()} {
		if ban == nil || ban.Source != netip.MustParsePrefix("2001:db8:7::/64") || time.Until(ban.Until) > 10*time.Minute || time.Until(ban.Until) < 9*time.Minute {
			t.Errorf("the ban is %+v", ban)
		}
	}
}

// failuresUntilBan is one more than a source may fail in a minute.
const failuresUntilBan = 31

func TestBansAreBounded(t *testing.T) {
	t.Parallel()
	var b bans
	now := time.Now()
	for i := range maxBans + 10 {
		until := now.Add(time.Hour)
		if i < 5 {
			until = now.Add(time.Minute)
		}
		b.add(ctl.Ban{Source: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32), Until: until}, now)
	}
	if n := len(b.list(now)); n != maxBans {
		t.Errorf("%d are kept", n)
	}
	b.add(ctl.Ban{Source: netip.MustParsePrefix("192.0.2.1/32"), Until: now.Add(time.Hour)}, now.Add(2*time.Minute))
	if n := len(b.list(now.Add(2 * time.Minute))); n != maxBans-5+1 {
		t.Errorf("%d are kept when five have ended", n)
	}
}
