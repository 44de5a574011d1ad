package quality

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/udpio"
	"github.com/coraltele/sanchar/pkg/rtp/stats"
)

const sec = int64(time.Second)

func TestWatch(t *testing.T) {
	t.Parallel()
	a, b := netip.MustParseAddrPort("192.0.2.1:4000"), netip.MustParseAddrPort("192.0.2.1:4002")
	const start = 1000 * sec
	heard := func(after int64, remote netip.AddrPort) Look {
		return Look{Now: start + after*sec, Last: start + after*sec, Remote: remote, Expected: true}
	}
	quiet := func(after, last int64, other bool) Look {
		return Look{Now: start + after*sec, Last: start + last*sec, Remote: a, Expected: true, OtherSends: other}
	}
	held := func(after, last int64) Look {
		l := quiet(after, last, false)
		l.Expected = false
		return l
	}
	never := func(after int64, other bool) Look {
		return Look{Now: start + after*sec, Expected: true, OtherSends: other}
	}
	for name, c := range map[string]struct {
		looks []Look
		want  []string
	}{
		"speaks":             {[]Look{heard(0, a), heard(1, a), heard(2, a)}, []string{"started"}},
		"never speaks":       {[]Look{never(0, false), never(2, false), never(3, false), never(4, false)}, []string{"silent"}},
		"is never heard":     {[]Look{never(0, true), never(3, true), never(9, true)}, []string{"one-way"}},
		"silent, then again": {[]Look{heard(0, a), quiet(2, 0, false), quiet(3, 0, false), heard(4, a)}, []string{"started", "silent", "resumed"}},
		"the other one speaks up": {
			[]Look{heard(0, a), quiet(3, 0, false), quiet(4, 0, true)},
			[]string{"started", "silent", "one-way"},
		},
		"held, which excuses it":          {[]Look{heard(0, a), held(5, 0), held(60, 0)}, []string{"started"}},
		"held while silent":               {[]Look{heard(0, a), quiet(4, 0, false), held(5, 0), held(6, 0)}, []string{"started", "silent"}},
		"silence counts from the end":     {[]Look{heard(0, a), held(60, 0), quiet(61, 0, false), quiet(62, 0, false)}, []string{"started"}},
		"silent after a hold":             {[]Look{heard(0, a), held(60, 0), quiet(61, 0, false), quiet(64, 0, false)}, []string{"started", "silent"}},
		"moved":                           {[]Look{heard(0, a), heard(1, b), heard(2, b)}, []string{"started", "moved"}},
		"no news while proving anew":      {[]Look{heard(0, a), heard(1, netip.AddrPort{}), heard(2, a)}, []string{"started"}},
		"another address after new terms": {[]Look{heard(0, a), heard(1, netip.AddrPort{}), heard(2, b)}, []string{"started", "moved"}},
	} {
		var w Watch
		var got []string
		for _, l := range c.looks {
			w.See(l, func(kind string) { got = append(got, kind) })
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: told %v, want %v", name, got, c.want)
		}
	}
	w := Resume(a)
	w.See(heard(0, a), func(kind string) { t.Errorf("after a restart: told %s", kind) })
}

func TestStats(t *testing.T) {
	t.Parallel()
	epoch := time.Unix(1000, 0)
	clock := func(at int64) time.Time { return epoch.Add(time.Duration(at)) }
	remote := netip.MustParseAddrPort("192.0.2.1:4000")
	st := relay.State{
		RTP: relay.Peer{Addr: udpio.SockaddrOf(remote), Proven: true},
		In:  stats.Receiver{Packets: 99, Before: 1}, BytesIn: 1000, Out: 50, Strangers: 4, Ignored: 5,
		First: sec, Last: 2 * sec, LostOut: -2, RoundTrip: 30 * time.Millisecond,
	}
	st.ByFormat[0], st.ByFormat[1] = 40, 59
	said := &ctl.MediaStream{Kind: "audio", Formats: []ctl.MediaFormat{{Encoding: "PCMU"}, {Encoding: "PCMA"}}}
	got := Stats(&st, said, clock)
	if got.MOS < 4 || got.MOS > 4.4 {
		t.Errorf("MOS %.2f", got.MOS)
	}
	got.MOS = 0
	want := ctl.StreamStats{
		Kind: "audio", Codec: "PCMA", Remote: remote, PacketsIn: 99, BytesIn: 1000, PacketsOut: 50, LostIn: 1,
		RoundTrip: 30 * time.Millisecond, Dropped: 4, Ignored: 5, FirstPacket: clock(sec), LastPacket: clock(2 * sec),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	said.Kind = "video"
	if got := Stats(&st, said, clock); got.MOS != 0 {
		t.Error("video was given the score of speech")
	}
	if got := Stats(&relay.State{}, nil, clock); got.Codec != "" || got.MOS != 0 || got.Remote.IsValid() {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestHeard(t *testing.T) {
	t.Parallel()
	if Heard(0, sec) || !Heard(sec, 2*sec) || Heard(sec, sec+int64(SilenceLimit)) {
		t.Error("wrong")
	}
}

// Packets that nobody saw make the loss of the others neither more nor less.
func TestWhatNobodySawIsNoPartOfTheLoss(t *testing.T) {
	t.Parallel()
	st := relay.State{Unseen: 800, Unmeasured: 100}
	st.In.Packets, st.In.Before = 1000, 5
	said := &ctl.MediaStream{Kind: "audio", Formats: []ctl.MediaFormat{{Encoding: "PCMU"}}}
	st.ByFormat[0] = 1000
	got := Stats(&st, said, func(int64) time.Time { return time.Time{} })
	if want := stats.MOS("PCMU", 5.0/105, 0, 0); got.Unmeasured != 900 || got.LostIn != 5 || got.MOS != want {
		t.Errorf("got %+v, want a MOS of %v", got, want)
	}
	st.Unseen = 900
	st.In.Before = 0
	if got := Stats(&st, said, func(int64) time.Time { return time.Time{} }); got.MOS != 0 {
		t.Errorf("a MOS of %v of nothing", got.MOS)
	}
}
