package avc

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Sets of x264, which was asked for pictures of these sizes.
func TestSizeByParameterSets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, sps, pps, size, colours string }{
		{"baseline", "6742c00bd90141fb0110000003001000000300a0f142a480", "68cb83cb20", "320x240", ""},
		{"high, with a border cut off", "67 64000cacd94150878888c044000003000400000300283c50a658", "68ebe3cb22c0", "322x242", "fdf8f800"},
		{"high, with lines cut off", "67640028acd940780227e5c044000003000400000300283c60c658", "68ebe3cb22c0", "1920x1080", "fdf8f800"},
		{"main, interlaced", "674d4016eca05a126c044000000300400000030287c50a658", "68fba3cb20", "720x576", ""},
		{"high 4:2:2", "677a000cbcd9415087888fc044000003000400000300283c50a658", "68ebe3cb22c0", "322x242", "fef8f800"},
		{"high 4:4:4", "67f4000c919b282a10f1f1f808800000030080000005078a14cb", "68ebe3c44844", "322x242", ""},
		{"10 bits and lists of its own", "676e0016a6cd940a02ff970110000003001000000300a0f162d960", "68ebe3cb3002c0", "640x360", "fdfafa00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sps, pps := unhex(t, c.sps+strings.Repeat("0", len(strings.ReplaceAll(c.sps, " ", ""))%2)), unhex(t, c.pps)
			var s Sets
			slice := []byte{0x65, 0x88, 0x84, 0x21, 0xa0} // the first of a picture, of the first sets
			if _, _, ok := s.Size(slice); ok {
				t.Error("a size without sets")
			}
			if !s.Put(sps) || !s.Put(pps) || s.Put(sps) || s.Put(pps) {
				t.Error("what is new and what is not")
			}
			width, height, ok := s.Size(slice)
			if got := fmt.Sprintf("%dx%d", width, height); got != c.size || !ok {
				t.Errorf("%s, %v", got, ok)
			}
			want := append([]byte{1, sps[1], sps[2], sps[3], 0xff, 0xe1, 0, byte(len(sps))}, sps...)
			want = append(append(want, 1, 0, byte(len(pps))), pps...)
			if got := s.Config(slice); !bytes.Equal(got, append(want, unhex(t, c.colours)...)) {
				t.Errorf("config %x", got)
			}
			if got := s.Append(nil); !bytes.Equal(got, Append(Append(nil, sps), pps)) {
				t.Errorf("in the picture: %x", got)
			}
		})
	}
}

func TestSetsThatAreNone(t *testing.T) {
	t.Parallel()
	var s Sets
	for _, unit := range [][]byte{nil, {0x67}, {0x67, 66, 0, 11, 0}, {0x68}, {0x68, 0, 0, 0}, {0x65, 0x88}, append([]byte{0x68, 0xff}, make([]byte, maxSet)...)} {
		if s.Put(unit) {
			t.Errorf("%x is a set", unit)
		}
	}
	if len(s.Append(nil)) > 0 {
		t.Error("there are sets")
	}
}

// A slice has the size of its own set, whatever others there are.
func TestSetsOfSeveralNumbers(t *testing.T) {
	t.Parallel()
	var s Sets
	s.Put(unhex(t, "6742c00bd90141fb0110000003001000000300a0f142a480"))
	s.Put(unhex(t, "68cb83cb20"))
	first, second := []byte{0x65, 0b1_00101_1_0}, []byte{0x65, 0b1_00101_01, 0b0_1000000} // slice type 4, sets 0 and 1
	if w, h, ok := s.Size(first); w != 320 || h != 240 || !ok {
		t.Errorf("%d by %d, %v", w, h, ok)
	}
	if _, _, ok := s.Size(second); ok {
		t.Error("a size of a set that is not there")
	}
}

func TestWherePicturesBegin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		payload string
		begins  bool
	}{
		{"", false},
		{"09f0", true},             // delimiter
		{"6742c00b", true},         // parameter sets
		{"68ce3c80", true},         //
		{"0605", true},             // what enhances
		{"6588", true},             // first slice
		{"6548", false},            // another one
		{"4188", true},             // of a picture that refers to others
		{"41", false},              //
		{"0c00", false},            // filler
		{"7c858884", true},         // first fragment of a first slice
		{"7c854884", false},        // of another one
		{"7c058884", false},        // another fragment
		{"7c458884", false},        // the last
		{"7c", false},              //
		{"180004 6742c00b", true},  // several
		{"180002 65880002", true},  //
		{"180002 65480002", false}, //
		{"1800", false},            //
	} {
		if got := Begins(unhex(t, c.payload)); got != c.begins {
			t.Errorf("%s: %v", c.payload, got)
		}
	}
}

func TestUnits(t *testing.T) {
	t.Parallel()
	var got []string
	for u := range Units(unhex(t, "00000002 6588 00000000 00000001 09 00000009 41")) {
		got = append(got, hex.EncodeToString(u))
	}
	if strings.Join(got, " ") != "6588 09" {
		t.Errorf("%q", got)
	}
}

func TestSprop(t *testing.T) {
	t.Parallel()
	got := Sprop("profile-level-id=42e00b; Sprop-Parameter-Sets=Z0LAH9oFB+hAAAA=, aM48gA==,!;packetization-mode=1")
	if len(got) != 2 || KindOf(got[0]) != SPS || KindOf(got[1]) != PPS {
		t.Errorf("%x", got)
	}
	if got := Sprop("packetization-mode=1"); got != nil {
		t.Errorf("%x", got)
	}
}

// Whatever a unit holds, what is read of it is a size that a file can tell.
func FuzzSets(f *testing.F) {
	f.Add(unhex(f, "67640028acd940780227e5c044000003000400000300283c60c658"), unhex(f, "68ebe3cb22c0"), unhex(f, "658884"))
	f.Add(unhex(f, "676e0016a6cd940a02ff970110000003001000000300a0f162d960"), unhex(f, "68ebe3cb3002c0"), unhex(f, "658884"))
	f.Fuzz(func(t *testing.T, sps, pps, slice []byte) {
		var s Sets
		s.Put(sps)
		s.Put(pps)
		s.Config(slice)
		Begins(slice)
		if w, h, ok := s.Size(slice); ok && (w < 1 || h < 1 || w > 1<<16 || h > 1<<16) {
			t.Errorf("%d by %d", w, h)
		}
	})
}
