package wav

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"testing/iotest"
)

// file is a file in memory.
type file struct{ b []byte }

func (f *file) Write(p []byte) (int, error) { f.b = append(f.b, p...); return len(p), nil }

func (f *file) WriteAt(p []byte, at int64) (int, error) { return copy(f.b[at:], p), nil }

func sine(n int) []int16 {
	s := make([]int16, n)
	for i := range s {
		s[i] = int16(12000 * math.Sin(float64(i)/7))
	}
	return s
}

func write(t testing.TB, f Format, samples []int16, finish bool) []byte {
	t.Helper()
	out := &file{}
	w, err := NewWriter(out, f)
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(samples, 2*160) {
		if err := w.Samples(part); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.Frames(); got != int64(len(samples)/f.Channels) {
		t.Errorf("%d frames written", got)
	}
	if finish {
		if err := w.Finish(out); err != nil {
			t.Fatal(err)
		}
	}
	return out.b
}

func readAll(r *Reader) (all []int16, err error) {
	for buf := make([]int16, 3*1000); ; { // also of a length that is not whole frames of two
		n, err := r.Samples(buf[:2999])
		all = append(all, buf[:n]...)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
}

func formats() (all []Format) {
	for _, e := range []Encoding{L16, PCMA, PCMU} {
		for _, rate := range rates() {
			all = append(all, Format{e, rate, 1}, Format{e, rate, 2})
		}
	}
	return all
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	in := sine(2 * 5003)
	for _, f := range formats() {
		for _, finish := range []bool{true, false} {
			r, err := NewReader(iotest.HalfReader(bytes.NewReader(write(t, f, in, finish))))
			if err != nil {
				t.Fatal(err)
			}
			out, err := readAll(r)
			if err != nil || len(out) != len(in) || r.Format() != f {
				t.Fatalf("%v finished %v: %d samples of %v, %v", f, finish, len(out), r.Format(), err)
			}
			for i := range in {
				if d := int(in[i]) - int(out[i]); d < -512 || d > 512 || (f.Encoding == L16 && d != 0) {
					t.Fatalf("%v: sample %d is %d, was %d", f, i, out[i], in[i])
				}
			}
		}
	}
}

func TestFinishedHeaderIsTrue(t *testing.T) {
	t.Parallel()
	b := write(t, Format{PCMA, 8000, 1}, sine(161), true)
	le := binary.LittleEndian
	if len(b)%2 != 0 || int(le.Uint32(b[4:])) != len(b)-8 {
		t.Errorf("%d bytes, RIFF says %d", len(b), le.Uint32(b[4:]))
	}
	if data, frames := le.Uint32(b[dataSizeAt:]), le.Uint32(b[factCountAt:]); data != 161 || frames != 161 {
		t.Errorf("data of %d, %d frames", data, frames)
	}
}

// A crash leaves a header that was not repaired and half a frame: all whole frames are there.
func TestTornFileIsReadToItsLastFrame(t *testing.T) {
	t.Parallel()
	in := sine(2 * 800)
	b := write(t, Format{L16, 16000, 2}, in, false)
	r, err := NewReader(bytes.NewReader(b[:len(b)-3]))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := readAll(r); err != nil || !slices.Equal(out, in[:len(in)-2]) {
		t.Errorf("%d samples, %v", len(out), err)
	}
}

func TestChunksBeforeTheSamplesArePassedOver(t *testing.T) {
	t.Parallel()
	b := write(t, Format{L16, 8000, 1}, sine(160), true)
	with := slices.Concat(b[:12], []byte("LIST\x05\x00\x00\x00abcde\x00"), b[12:])
	r, err := NewReader(bytes.NewReader(with))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := readAll(r); err != nil || !slices.Equal(out, sine(160)) {
		t.Errorf("%d samples, %v", len(out), err)
	}
}

func TestWhatIsNoSpeechIsRefused(t *testing.T) {
	t.Parallel()
	good := write(t, Format{L16, 8000, 1}, sine(16), true)
	change := func(at int, with ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], with)
		return b
	}
	for name, b := range map[string][]byte{
		"empty": nil, "half a header": good[:30], "other magic": change(0, 'R', 'I', 'F', 'X'),
		"24 bits": change(34, 24), "three channels": change(22, 3), "44.1 kHz": change(24, 0x44, 0xAC),
		"MP3": change(20, 0x55), "endless fmt": change(16, 0xFF, 0xFF), "no fmt": change(12, 'j', 'u', 'n', 'k'),
		"a long chunk": change(12, 'j', 'u', 'n', 'k', 0, 0, 0, 0x7F),
	} {
		if _, err := NewReader(bytes.NewReader(b)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("broken disk")
	if _, err := NewReader(iotest.ErrReader(broken)); !errors.Is(err, broken) || errors.Is(err, ErrFormat) {
		t.Errorf("a read error is %v", err)
	}
	for _, f := range []Format{{L16, 8001, 1}, {L16, 8000, 3}, {3, 8000, 1}} {
		if _, err := NewWriter(io.Discard, f); err == nil {
			t.Errorf("%v is written", f)
		}
	}
}

func TestFullFileStaysWhole(t *testing.T) {
	t.Parallel()
	w, err := NewWriter(io.Discard, Format{L16, 48000, 2})
	if err != nil {
		t.Fatal(err)
	}
	w.bytes = MaxBytes - 3
	if err := w.Samples([]int16{1, 2}); !errors.Is(err, ErrFull) {
		t.Errorf("beyond the end: %v", err)
	}
}

// sox is of Debian; where it is missing, the tests above stand alone.
func TestSoxReadsBothKinds(t *testing.T) {
	t.Parallel()
	sox, err := exec.LookPath("sox")
	if err != nil {
		t.Skip("sox is not installed")
	}
	in := sine(1600)
	for _, finish := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "a.wav")
		if err := os.WriteFile(path, write(t, Format{L16, 8000, 2}, in, finish), 0o600); err != nil {
			t.Fatal(err)
		}
		raw, err := exec.Command(sox, "-V1", "--ignore-length", path, "-t", "s16", "-").Output()
		if err != nil || len(raw) != 2*len(in) {
			t.Fatalf("finished %v: %d bytes, %v", finish, len(raw), err)
		}
		for i := range in {
			if int16(binary.LittleEndian.Uint16(raw[2*i:])) != in[i] {
				t.Fatalf("finished %v: sample %d differs", finish, i)
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, format := range formats() {
		f.Add(write(f, format, sine(20), true))
		f.Add(write(f, format, sine(20), false))
	}
	f.Add([]byte("RIFF\xff\xff\xff\xffWAVELIST\x01\x00\x00\x00a\x00data"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		out, err := readAll(r)
		if err != nil || len(out) > len(b) || len(out)%r.Format().Channels != 0 {
			t.Errorf("%d samples of %d bytes, %v", len(out), len(b), err)
		}
	})
}

func BenchmarkWriteStereo(b *testing.B) {
	w, err := NewWriter(io.Discard, Format{L16, 8000, 2})
	if err != nil {
		b.Fatal(err)
	}
	samples := sine(2 * 160)
	b.ReportAllocs()
	for b.Loop() {
		w.bytes = 0
		if err := w.Samples(samples); err != nil {
			b.Fatal(err)
		}
	}
}
