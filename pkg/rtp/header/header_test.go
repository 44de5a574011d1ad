package header

import (
	"encoding/hex"
	"testing"

	"github.com/pion/rtp"
)

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Kind{
		"":                         Other,
		"80":                       Other,
		"0001":                     STUN, // binding request
		"0101":                     STUN,
		"0400":                     Other,
		"100000005a5254500000":     ZRTP,
		"100000005a525451":         Other, // another cookie
		"1000000000":               Other,
		"16fefd":                   DTLS, // handshake
		"17fefd":                   DTLS,
		"4000":                     TURN,
		"5000":                     Other,
		"8000":                     RTP, // PCMU
		"80df":                     RTCP,
		"80e0":                     RTP, // marker, type 96
		"80c8":                     RTCP,
		"81cd":                     RTCP,
		"80c0":                     RTCP,
		"80bf":                     RTP, // marker, type 63
		"bfff":                     RTP,
		"c000":                     Other,
		"0d0a0d0a":                 Other, // keep-alive
		"800012340000000000000001": RTP,
	} {
		if got := Classify(unhex(t, text)); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}

func TestValid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text     string
		clear, secured bool
	}{
		{"bare header", "800012340000000000000001", true, true},
		{"short", "8000123400000000000000", false, false},
		{"version 1", "400012340000000000000001", false, false},
		{"a CSRC", "81001234000000000000000100000002", true, true},
		{"a CSRC is missing", "810012340000000000000001000000", false, false},
		{"extension of one word", "900012340000000000000001bede000110aa0000", true, true},
		{"extension cut", "900012340000000000000001bede000210aa0000", false, false},
		{"extension header cut", "900012340000000000000001bede00", false, false},
		{"padding", "a00012340000000000000001ff000002", true, true},
		{"padding of 0", "a00012340000000000000001ff000000", false, true},
		{"more padding than packet", "a00012340000000000000001ff000005", false, true},
	} {
		p := Packet(unhex(t, c.text))
		if got := p.Valid(false); got != c.clear {
			t.Errorf("%s: valid %v, want %v", c.name, got, c.clear)
		}
		if got := p.Valid(true); got != c.secured {
			t.Errorf("%s: valid as SRTP %v, want %v", c.name, got, c.secured)
		}
	}
}

// A packet that we call valid is read by pion in the same way, and one that we refuse is refused.
func FuzzPacket(f *testing.F) {
	for _, text := range []string{
		"800012340000000000000001", "81801234000000000000000100000002aabb",
		"900012340000000000000001bede000110aa0000", "a00012340000000000000001ff000002", "900012340000000000000001100000010201aabb",
	} {
		b, _ := hex.DecodeString(text)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p := Packet(b)
		_ = Classify(b).String()
		_ = p.Valid(true)
		if !p.Valid(false) {
			return
		}
		var h rtp.Header
		if _, err := h.Unmarshal(b); err != nil {
			return // pion also parses the elements of an extension, which we do not read
		}
		if h.PayloadType != p.PayloadType() || h.Marker != p.Marker() || h.SequenceNumber != p.Sequence() ||
			h.Timestamp != p.Timestamp() || h.SSRC != p.SSRC() {
			t.Fatalf("pion reads %+v", h)
		}
	})
}

// What pion writes we call valid.
func TestPionsPacketsAreValid(t *testing.T) {
	t.Parallel()
	for _, p := range []rtp.Packet{
		{Header: rtp.Header{Version: 2, PayloadType: 8, SequenceNumber: 65535, SSRC: 7}, Payload: []byte{1, 2, 3}},
		{Header: rtp.Header{Version: 2, CSRC: []uint32{1, 2, 3}, Marker: true}, Payload: make([]byte, 160)},
		{Header: rtp.Header{Version: 2, Padding: true, PaddingSize: 4}, Payload: []byte{1}},
	} {
		if err := p.SetExtension(1, []byte{9}); err != nil {
			t.Fatal(err)
		}
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if !Packet(b).Valid(false) || Classify(b) != RTP {
			t.Errorf("% x: not valid", b)
		}
		b[0] = b[0]&0x3f | 0x40
		if Packet(b).Valid(false) {
			t.Errorf("% x: version 1 is valid", b)
		}
	}
}

func TestExtension(t *testing.T) {
	t.Parallel()
	for name, profile := range map[string]uint16{"one byte": 0xbede, "two bytes": 0x1000} {
		p := rtp.Packet{Header: rtp.Header{Version: 2, Extension: true, ExtensionProfile: profile, CSRC: []uint32{1}}, Payload: []byte("x")}
		for id, value := range map[uint8]string{1: "a", 3: "mid-7", 14: "sixteen bytes..."} {
			if err := p.SetExtension(id, []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		for id, want := range map[uint8]string{1: "a", 3: "mid-7", 14: "sixteen bytes...", 2: ""} {
			if got := Packet(b).Extension(id); string(got) != want {
				t.Errorf("%s: extension %d is %q, want %q", name, id, got, want)
			}
		}
	}
	if Packet(unhex(t, "800000010000000200000003")).Extension(1) != nil {
		t.Error("found where there is none")
	}
}

// A header extension never leads outside the packet, and what is found the other library finds too.
func FuzzExtension(f *testing.F) {
	f.Add(unhexSeed("900000010000000200000003bede00023061000000000000"), uint8(3))
	f.Add(unhexSeed("9000000100000002000000031000000103016100"), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, id uint8) {
		p := Packet(b)
		if !p.Valid(true) {
			return
		}
		got := p.Extension(id)
		var theirs rtp.Header
		if _, err := theirs.Unmarshal(b); err != nil || id == 0 {
			return
		}
		if want := theirs.GetExtension(id); len(got) > 0 && len(want) > 0 && string(got) != string(want) {
			t.Errorf("extension %d is % x, want % x", id, got, want)
		}
	})
}

func unhexSeed(text string) []byte {
	b, _ := hex.DecodeString(text) // a constant
	return b
}
