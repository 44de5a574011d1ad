package tone

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func written(t *testing.T, hz float64, length time.Duration) (path string, s Sound) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "a.wav")
	if err := Write(path, hz, length); err != nil {
		t.Fatal(err)
	}
	s, err := Read(path, 1)
	if err != nil {
		t.Fatal(err)
	}
	return path, s
}

func TestAToneIsFoundAndNoOther(t *testing.T) {
	t.Parallel()
	_, s := written(t, 440, 2*time.Second)
	if s.Length() != 2*time.Second || s.Rate != rate {
		t.Fatalf("%s at %d Hz", s.Length(), s.Rate)
	}
	if got := amplitude(s.Samples, s.Rate, 440); math.Abs(got-loudness) > 2 {
		t.Errorf("amplitude %f", got)
	}
	if !s.Clean(440, 880, 1320) {
		t.Error("its own tone is not heard")
	}
	if s.Clean(880, 440) || s.Silent(440) {
		t.Error("another tone, or silence, is heard")
	}
	if !s.Silent(880) {
		t.Error("a tone that nobody played")
	}
}

func TestATwentiethOfAnotherToneIsNotClean(t *testing.T) {
	t.Parallel()
	_, s := written(t, 440, 2*time.Second)
	_, other := written(t, 880, 2*time.Second)
	for _, c := range []struct {
		part  float64
		clean bool
	}{{0.05, false}, {0.002, true}} {
		mixed := Sound{s.Rate, make([]int16, len(s.Samples))}
		for i := range mixed.Samples {
			mixed.Samples[i] = s.Samples[i]/4*3 + int16(c.part*float64(other.Samples[i]))
		}
		if got := mixed.Clean(440, 880); got != c.clean {
			t.Errorf("with %g of the other tone: clean is %v", c.part, got)
		}
	}
}

func TestTooShortOrBrokenIsNotClean(t *testing.T) {
	t.Parallel()
	if _, s := written(t, 440, Enough-time.Millisecond); s.Clean(440) || s.Silent(880) {
		t.Error("too short a sound was judged")
	}
	_, s := written(t, 440, 3*time.Second)
	for at := 0; at < len(s.Samples); at += rate { // a hole of 40 ms in every second
		clear(s.Samples[at:min(at+rate/25, len(s.Samples))])
	}
	if s.From(20*time.Millisecond).Clean(440, 450) {
		t.Error("holes were not heard")
	}
}

func TestAFileThatIsStillWrittenCanBeRead(t *testing.T) {
	t.Parallel()
	path, whole := written(t, 440, time.Second)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(data[40:44]) // the length is written last
	if err := os.WriteFile(path, data[:len(data)-1001], 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Read(path, 1)
	if err != nil || len(s.Samples) != len(whole.Samples)-501 {
		t.Errorf("%d samples of %d, %v", len(s.Samples), len(whole.Samples), err)
	}
	if s, err := Read(path+".none", 1); err != nil || s.Length() != 0 {
		t.Errorf("no file: %v, %v", s, err)
	}
	clear(data[:headerLen])
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Read(path, 16000); err != nil || s.Rate != 16000 || len(s.Samples) != len(whole.Samples) {
		t.Errorf("no header yet: %d samples at %d Hz, %v", len(s.Samples), s.Rate, err)
	}
	copy(data, "RIFF")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path, 1); err == nil {
		t.Error("samples of 0 bits were read")
	}
}
