package quality

import (
	"net/netip"
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

var (
	home  = netip.MustParseAddrPort("198.51.100.7:4000")
	other = netip.MustParseAddrPort("198.51.100.7:4002")
	thief = netip.MustParseAddrPort("203.0.113.9:666")
	inner = netip.MustParseAddrPort("192.168.1.5:4000")
)

// Each case begins with a good second, then has two of what is wrong: all of it is found by then.
func TestWhatIsWrongIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		each Signs // what a second adds, and where the party is
		want string
	}{
		"another key":        {Signs{Refused: 50, Remote: home}, ctl.MediaInsecure},
		"another format":     {Signs{Packets: 50, Foreign: 50, ForeignType: 18, Remote: home}, ctl.MediaForeign},
		"not proven, format": {Signs{Foreign: 50, Strangers: 50, ForeignType: 18}, ctl.MediaForeign},
		"another place":      {Signs{Strangers: 50, Stranger: thief, Remote: home}, ctl.MediaStranger},
		"a scanner":          {Signs{Strangers: 3, Stranger: thief, Remote: home}, ""},
		"comfort and speech": {Signs{Packets: 50, Foreign: 1, Remote: home}, ""},
		"noise and speech":   {Signs{Packets: 50, Strangers: 50, Remote: home}, ""},
	} {
		var d Doctor
		s := Signs{Expected: true, Packets: 100, Remote: home}
		d.See(s)
		got, asked := "", false
		for range 2 {
			s.Packets += c.each.Packets
			s.Foreign += c.each.Foreign
			s.Refused += c.each.Refused
			s.Strangers += c.each.Strangers
			s.ForeignType, s.Stranger, s.Remote = c.each.ForeignType, c.each.Stranger, c.each.Remote
			found, relatch := d.See(s)
			for _, f := range found {
				if got += f.Kind; f.Text == "" {
					t.Errorf("%s: no text", name)
				}
			}
			asked = asked || relatch
		}
		quiet := c.each.Packets == c.each.Foreign
		if got != c.want || asked != (quiet && c.each.Remote.IsValid()) {
			t.Errorf("%s: found %q, to be proven anew: %v", name, got, asked)
		}
		s.Packets += 50
		s.Remote = home
		found, _ := d.See(s)
		if cured := len(found) == 1 && found[0].Kind == ctl.MediaCured; cured != (c.want != "") {
			t.Errorf("%s: afterwards %+v", name, found)
		}
	}
}

func TestAPartyAtAnotherPortIsACure(t *testing.T) {
	t.Parallel()
	var d Doctor
	s := Signs{Expected: true, Packets: 100, Remote: home, Said: home}
	d.See(s)
	asked := 0
	for range 5 {
		if _, relatch := d.See(s); relatch {
			asked++
			s.Remote = netip.AddrPort{} // it is to be proven
		}
	}
	if asked != 1 {
		t.Errorf("to be proven anew %d times", asked)
	}
	s.Packets, s.Remote = 150, other
	found, _ := d.See(s)
	if len(found) != 1 || found[0].Kind != ctl.MediaCured || found[0].Cure == "" {
		t.Errorf("found %+v", found)
	}
	s.Packets = 200
	if found, _ := d.See(s); len(found) != 0 {
		t.Errorf("told again: %+v", found)
	}
}

func TestAPrivateAddressIsTold(t *testing.T) {
	t.Parallel()
	var d Doctor
	s := Signs{Expected: true, Said: inner}
	d.See(s)
	s.Packets, s.Remote = 50, home
	if found, _ := d.See(s); len(found) != 1 || found[0].Kind != ctl.MediaCured || found[0].Cure == "" {
		t.Errorf("found %+v", found)
	}
	s.Packets = 100
	if found, _ := d.See(s); len(found) != 0 {
		t.Errorf("told again: %+v", found)
	}
}

func TestWhoNeedNotSendIsNotIll(t *testing.T) {
	t.Parallel()
	var d Doctor
	s := Signs{Packets: 100, Remote: home}
	for range 5 {
		if found, relatch := d.See(s); len(found) != 0 || relatch {
			t.Errorf("found %+v, %v", found, relatch)
		}
		s.Strangers += 50
	}
}
