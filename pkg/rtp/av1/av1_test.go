package av1

import (
	"encoding/hex"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Sequence headers of libaom, and what a muxer of another's makes of them.
func TestSequence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, header, config string }{
		{"usual", "0a0b000000043d07c4daf90040", "81000c00"},
		{"all colours", "0a0a200000043d07c4daf902", "81200000"},
		{"10 bits", "0a0b000000043d07c4daf94040", "81004c00"},
		{"grey", "0a0a000000043d07c4daf92a", "81001c00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			header := unhex(t, c.header)
			s, err := ParseSequence(header)
			if err != nil || s.Width != 322 || s.Height != 242 {
				t.Errorf("%d by %d, %v", s.Width, s.Height, err)
			}
			if got := hex.EncodeToString(s.Config(header)); got != c.config+c.header {
				t.Errorf("config %s", got)
			}
			if _, err := ParseSequence(header[:len(header)-1]); err == nil {
				t.Error("half of it is a header")
			}
		})
	}
	if _, err := ParseSequence([]byte{0x0a, 2, 0, 0}); err == nil {
		t.Error("two bytes are a header")
	}
}

func TestPicturesThatStandAlone(t *testing.T) {
	t.Parallel()
	const header = "0a0b000000043d07c4daf90040"
	for _, c := range []struct {
		name, picture string
		alone         bool
	}{
		{"key frame", header + "3203100084", true},
		{"key frame in two units", header + "1a02100022021234", true},
		{"key frame without a sequence", "3203100084", false},
		{"key frame that is not shown", header + "3203000084", false},
		{"frame that refers to others", header + "3203300084", false},
		{"one that was there", header + "1a0180", false},
		{"sequence without a picture", header, false},
		{"nothing", "", false},
		{"torn", header + "3203", false},
	} {
		got := Key(unhex(t, c.picture))
		if (got != nil) != c.alone || got != nil && hex.EncodeToString(got) != header {
			t.Errorf("%s: %x", c.name, got)
		}
	}
}

// Whatever a picture holds, what is read of it is a size.
func FuzzSequence(f *testing.F) {
	f.Add(unhex(f, "0a0b000000043d07c4daf900403203100084"))
	f.Add(unhex(f, "0a0a200000043d07c4daf902"))
	f.Fuzz(func(t *testing.T, picture []byte) {
		header := Key(picture)
		if header == nil {
			header = picture
		}
		if s, err := ParseSequence(header); err == nil && (s.Width < 1 || s.Height < 1 || s.Width > 1<<16 || s.Height > 1<<16) {
			t.Errorf("%d by %d", s.Width, s.Height)
		}
	})
}
