package develop

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/media/reel"
	"github.com/coraltele/sanchar/pkg/rtp/avc"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Parameter sets of x264 for 320 by 240, and those of the same numbers for 720 by 576.
const (
	sps, pps       = "6742c00bd90141fb0110000003001000000300a0f142a480", "68cb83cb20"
	large, largeOf = "674d4016eca05a126c044000000300400000030287c50a6580", "68fba3cb20"
	sets           = "18 0018" + sps + "0005" + pps // both in one packet
)

// payload is a packet of a sender: the number of its picture, what it holds, and what is special.
type payload struct {
	picture uint32
	data    string
	last    bool   // marked
	gap     uint16 // packets before it that are lost
}

// put gives packets to what puts pictures together.
func put(t *testing.T, v *pictures, all []payload) {
	t.Helper()
	seq := uint16(65533)
	for _, p := range all {
		seq += 1 + p.gap
		raw := []byte{0x80, videoType, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5}
		if p.last {
			raw[1] |= 0x80
		}
		binary.BigEndian.PutUint16(raw[2:], seq)
		binary.BigEndian.PutUint32(raw[4:], p.picture*6000)
		v.put(append(raw, unhex(t, p.data)...), time.Duration(p.picture))
	}
	v.flush()
}

// tell says what pictures there are: their units, and a star before those that stand alone.
func tell(l *lane) string {
	var all []string
	for _, p := range l.done {
		var units []string
		for u := range avc.Units(p.data) {
			units = append(units, hex.EncodeToString(u))
		}
		text := strings.Join(units, "+")
		if p.key {
			text = "*" + text
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func TestH264PutTogether(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		params string
		sent   []payload
		want   string
	}{
		{"single units", "", []payload{{1, sps, false, 0}, {1, pps, false, 0}, {1, "65888421", true, 0}, {2, "41888421", true, 0}}, "*65888421 41888421"},
		{"sets in one packet", "", []payload{{1, sets, false, 0}, {1, "65888421", true, 0}}, "*65888421"},
		{"sets in a packet that is marked", "", []payload{{1, sets, true, 0}, {1, "65888421", true, 0}}, "*65888421"},
		{"sets in SDP only", "sprop-parameter-sets=Z0LAC9kBQfsBEAAAAwAQAAADAKDxQqSA,aMuDyyA=", []payload{{1, "65888421", true, 0}}, "*65888421"},
		{"without sets", "", []payload{{1, "65888421", true, 0}, {2, "41888421", true, 0}}, ""},
		{"fragments", "", []payload{{1, sets, false, 0}, {1, "7c858884", false, 0}, {1, "7c0521", false, 0}, {1, "7c4522", true, 0}}, "*6588842122"},
		{"slices, delimiter, filler", "", []payload{{1, sets, false, 0}, {1, "09f0", false, 0}, {1, "65888421", false, 0}, {1, "65488421", false, 0}, {1, "0cff", true, 0}}, "*65888421+65488421"},
		{"no marks", "", []payload{{1, sets, false, 0}, {1, "65888421", false, 0}, {2, "41888421", false, 0}, {3, "41888422", false, 0}}, "*65888421 41888421 41888422"},
		{"begins without a picture that stands alone", "", []payload{{1, sets, false, 0}, {1, "41888421", true, 0}, {2, "65888421", true, 0}}, "*65888421"},
		{
			"a fragment is lost", "",
			[]payload{{1, sets, false, 0}, {1, "65888421", true, 0}, {2, "7c818884", false, 0}, {2, "7c4122", true, 1}, {3, "41888421", true, 0}, {4, "65888422", true, 0}, {5, "41888423", true, 0}},
			"*65888421 *65888422 41888423",
		},
		{
			"the first fragment is lost", "",
			[]payload{{1, sets, false, 0}, {1, "65888421", true, 0}, {2, "7c0122", false, 1}, {2, "7c4122", true, 0}, {3, "41888421", true, 0}},
			"*65888421",
		},
		{
			"a slice is lost", "",
			[]payload{{1, sets, false, 0}, {1, "65888421", true, 0}, {2, "41488421", true, 1}, {3, "41888421", true, 0}, {4, "65888422", true, 0}},
			"*65888421 *65888422",
		},
		{
			"the mark is lost, and with it a slice of the picture", "",
			[]payload{{1, sets, false, 0}, {1, "65888421", true, 0}, {2, "41888421", false, 0}, {3, "41888422", true, 1}, {4, "65888422", true, 0}},
			"*65888421 *65888422",
		},
		{"another fragment begins before the end", "", []payload{{1, sets, false, 0}, {1, "7c858884", false, 0}, {1, "7c858885", false, 0}, {1, "7c4522", true, 0}}, "*65888522"},
		{"interleaved, which nobody offered", "", []payload{{1, sets, false, 0}, {1, "65888421", true, 0}, {2, "1a0000", true, 0}, {3, "41888421", true, 0}}, "*65888421"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := newPictures(&reel.Track{Formats: []reel.Format{{PayloadType: videoType, Encoding: "H264", Params: c.params}}})
			put(t, v, c.sent)
			l := v.lanes[0]
			if got := tell(l); got != c.want {
				t.Errorf("%s, not %s", got, c.want)
			}
			if l.look.width != 320 && c.want != "" {
				t.Errorf("%+v", l.look)
			}
		})
	}
}

// When parameter sets have changed, the second reading has them in the pictures: all before each that stands
// alone, and before others when they have just come.
func TestH264SetsChange(t *testing.T) {
	t.Parallel()
	film := []payload{
		{1, sets, false, 0},
		{1, "65888421", true, 0},
		{2, "41888421", true, 0},
		{3, large, false, 0},
		{3, largeOf, false, 0},
		{3, "65888422", true, 0},
		{4, "41888422", true, 0},
		{5, pps, true, 0},
		{6, "41888423", true, 0},
	}
	v := newPictures(&reel.Track{Formats: []reel.Format{{PayloadType: videoType, Encoding: "H264"}}})
	put(t, v, film)
	if got := tell(v.lanes[0]); got != "*65888421 41888421 *65888422 41888422 41888423" || v.lanes[0].coder.inBand() {
		t.Errorf("first: %s", got)
	}
	v = v.again()
	if !v.lanes[0].coder.inBand() || v.lanes[0].look.width != 320 {
		t.Errorf("%+v", v.lanes[0].look)
	}
	put(t, v, film)
	want := "*" + sps + "+" + pps + "+65888421 41888421 *" + large + "+" + largeOf + "+65888422 41888422 " + large + "+" + pps + "+41888423"
	if got := tell(v.lanes[0]); got != want {
		t.Errorf("second: %s,\nnot %s", got, want)
	}
}

// A sequence header of libaom of 322 by 242 and the beginnings of frames, as units with their sizes and without.
func TestAV1PutTogether(t *testing.T) {
	t.Parallel()
	const (
		header     = "0a0b000000043d07c4daf90040"
		bare       = "08000000043d07c4daf90040"
		key, other = "3203100084", "3203300084"
	)
	for _, c := range []struct {
		name string
		sent []payload
		want string
	}{
		{"one packet", []payload{{1, "28 0c" + bare + "30100084", true, 0}, {2, "10 30300084", true, 0}}, "*" + header + key + " " + other},
		{"a length before each", []payload{{1, "08 0c" + bare + "04 30100084", true, 0}}, "*" + header + key},
		{"a unit in two packets", []payload{{1, "68 0c" + bare + "3010", false, 0}, {1, "90 0084", true, 0}}, "*" + header + key},
		{"delimiters are left out", []payload{{1, "38 0110 0c" + bare + "30100084", true, 0}}, "*" + header + key},
		{"begins with one that refers to others", []payload{{1, "10 30300084", true, 0}, {2, "28 0c" + bare + "30100084", true, 0}}, "*" + header + key},
		{
			"a packet is lost",
			[]payload{{1, "28 0c" + bare + "30100084", true, 0}, {2, "50 3030", false, 0}, {2, "90 84", true, 1}, {3, "10 30300084", true, 0}, {4, "28 0c" + bare + "30100084", true, 0}},
			"*" + header + key + " *" + header + key,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := newPictures(&reel.Track{Formats: []reel.Format{{PayloadType: videoType, Encoding: "AV1"}}})
			put(t, v, c.sent)
			var all []string
			for _, p := range v.lanes[0].done {
				text := hex.EncodeToString(p.data)
				if p.key {
					text = "*" + text
				}
				all = append(all, text)
			}
			if got := strings.Join(all, " "); got != c.want || v.lanes[0].look.width != 322 {
				t.Errorf("%s, not %s; %+v", got, c.want, v.lanes[0].look)
			}
		})
	}
}
