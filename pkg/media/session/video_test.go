package session

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// A party that sends video hears what is wanted of it: a whole picture when a recorder comes and when it has
// missed something, and how much it may send.
func TestVideoFeedback(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, newKeeper(t), nil, newShelf(t).deck(t))
	a, b := newPhone(t, "127.0.66.1"), newPhone(t, "127.0.66.2")
	video := func(p *phone, kbit uint32) ctl.MediaStream {
		s := p.audio()
		s.Kind, s.Feedback, s.Bandwidth = "video", true, kbit
		s.Formats = []ctl.MediaFormat{{PayloadType: 97, Encoding: "VP8", ClockRate: 90000}}
		return s
	}
	c := &call{r: r, id: "one", a: a, b: b}
	offered, err := r.Offer(ctl.MediaOffer{
		Session: "one", Leg: a.leg("a", "127.0.66.3", video(a, 2000)), Peer: ctl.MediaLeg{ID: "b", Local: a.leg("a", "127.0.66.3").Local},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Answer(ctl.MediaAnswer{Session: "one", Leg: b.leg("b", "127.0.66.3", video(b, 512)), Peer: "a"}); err != nil {
		t.Fatal(err)
	}
	c.pa, c.pb = offered.Leg, offered.Peer
	a.send(t, 97, c.pa[0])
	if err := r.Record(ctl.MediaRecord{
		Session: "one", ID: ids.Record(time.Now()), Do: ctl.RecordStart, Video: true, Legs: []ctl.MediaRecordLeg{{Leg: "a"}},
	}); err != nil {
		t.Fatal(err)
	}
	pictures, limits := map[string]int{}, map[int]int{}
	a.seq += 5 // some are lost
	a.send(t, 97, c.pa[0])
	_ = a.rtcp.SetReadDeadline(time.Now().Add(10 * time.Second))
	for buf := make([]byte, 2048); pictures["pli"] < 2 || len(limits) == 0; {
		n, _, err := a.rtcp.ReadFromUDPAddrPort(buf)
		if err != nil {
			t.Fatalf("asked for pictures %v, for limits %v; %v", pictures, limits, err)
		}
		all, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			switch p := p.(type) {
			case *rtcp.FullIntraRequest:
				pictures["fir"]++
			case *rtcp.PictureLossIndication:
				if pictures["pli"]++; p.MediaSSRC != 7 {
					t.Errorf("asked of %x", p.MediaSSRC)
				}
			case *rtcp.ReceiverEstimatedMaximumBitrate:
				limits[int(p.Bitrate)]++
			}
		}
		a.seq += 3
		a.send(t, 97, c.pa[0])
	}
	if pictures["fir"] != 1 || len(limits) != 1 || limits[512000] == 0 {
		t.Errorf("asked for pictures %v, for limits %v", pictures, limits)
	}
}

// What a recording knows a party to send has the parameter sets that the party has told itself.
func TestParameterSetsAreTheSendersOwn(t *testing.T) {
	t.Parallel()
	const sets, others = "sprop-parameter-sets=Z0LAH9oFB+hAAAA=,aM48gA==", "sprop-parameter-sets=Z0IACpZTBYmI,aMljiA=="
	h264 := func(pt uint8, params string) ctl.MediaFormat {
		return ctl.MediaFormat{PayloadType: pt, Encoding: "H264", ClockRate: 90000, Params: params}
	}
	vp8 := ctl.MediaFormat{PayloadType: 96, Encoding: "VP8", ClockRate: 90000, Params: "max-fr=30"}
	for _, c := range []struct {
		name       string
		said, told []ctl.MediaFormat
		want       []ctl.MediaFormat
	}{
		{"both tell", []ctl.MediaFormat{vp8, h264(99, sets)}, []ctl.MediaFormat{h264(97, others), vp8}, []ctl.MediaFormat{h264(97, sets), vp8}},
		{"only the other tells", []ctl.MediaFormat{h264(99, "packetization-mode=1")}, []ctl.MediaFormat{h264(97, others)}, []ctl.MediaFormat{h264(97, "")}},
		{"it was told nothing", []ctl.MediaFormat{h264(99, sets)}, nil, []ctl.MediaFormat{h264(99, sets)}},
	} {
		if got := taped(&ctl.MediaStream{Formats: c.said, Told: c.told}); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, not %v", c.name, got, c.want)
		}
	}
}
