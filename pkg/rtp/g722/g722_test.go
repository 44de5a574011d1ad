package g722

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"slices"
	"testing"
)

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func goldenSamples(t testing.TB, name string) []int16 {
	t.Helper()
	b := golden(t, name)
	s := make([]int16, len(b)/2)
	for i := range s {
		s[i] = int16(binary.LittleEndian.Uint16(b[2*i:]))
	}
	return s
}

// Two other encoders make the same bytes of this, see testdata/README.
func TestEncodesAsOthers(t *testing.T) {
	t.Parallel()
	in, want := goldenSamples(t, "speech.s16"), golden(t, "speech.g722")
	for _, size := range []int{len(in), 320, 160, 6, 962} { // frames of any length give the same stream
		e, got := NewEncoder(), make([]byte, len(in)/2)
		n := 0
		for part := range slices.Chunk(in, size) {
			n += e.Encode(got[n:], part)
		}
		if n != len(want) || !bytes.Equal(got, want) {
			t.Errorf("in parts of %d: %d bytes, which differ", size, n)
		}
	}
}

func TestDecodesAsAnother(t *testing.T) {
	t.Parallel()
	for in, out := range map[string]string{"speech.g722": "speech.out.s16", "random.g722": "random.s16"} {
		codes, want := golden(t, in), goldenSamples(t, out)
		for _, size := range []int{len(codes), 160, 80, 1, 481} {
			d, got := NewDecoder(), make([]int16, 2*len(codes))
			n := 0
			for part := range slices.Chunk(codes, size) {
				n += d.Decode(got[n:], part)
			}
			if n != len(want) || !slices.Equal(got, want) {
				t.Errorf("%s in parts of %d: %d samples, which differ", in, size, n)
			}
		}
	}
}

// delay is that of both filters, in samples.
const delay = 22

func TestSignalToNoise(t *testing.T) {
	t.Parallel()
	for hz, want := range map[float64]float64{300: 30, 1000: 30, 3000: 24, 5000: 15, 6500: 15} {
		in := make([]int16, Rate)
		for i := range in {
			in[i] = int16(10000 * math.Sin(2*math.Pi*hz*float64(i)/Rate))
		}
		codes, out := make([]byte, len(in)/2), make([]int16, len(in))
		NewEncoder().Encode(codes, in)
		NewDecoder().Decode(out, codes)
		var signal, noise float64
		for i := Rate / 2; i < Rate; i++ {
			signal += float64(in[i-delay]) * float64(in[i-delay])
			noise += math.Pow(float64(in[i-delay])-float64(out[i]), 2)
		}
		if db := 10 * math.Log10(signal/noise); db < want {
			t.Errorf("%v Hz: %.1f dB, want %v", hz, db, want)
		}
	}
}

func TestOddSamplesAndNothing(t *testing.T) {
	t.Parallel()
	if n := NewEncoder().Encode(make([]byte, 1), []int16{1, 2, 3}); n != 1 {
		t.Errorf("%d bytes of three samples", n)
	}
	if n := NewDecoder().Decode(nil, nil); n != 0 {
		t.Errorf("%d samples of nothing", n)
	}
}

func TestNoAllocation(t *testing.T) {
	e, d := NewEncoder(), NewDecoder()
	codes, samples := make([]byte, 160), make([]int16, 320)
	if n := testing.AllocsPerRun(100, func() { e.Encode(codes, samples); d.Decode(samples, codes) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Any bytes are a stream.
func FuzzDecode(f *testing.F) {
	f.Add(golden(f, "speech.g722")[:200])
	f.Add(bytes.Repeat([]byte{0x80}, 300))
	f.Fuzz(func(t *testing.T, codes []byte) {
		out := make([]int16, 2*len(codes))
		if n := NewDecoder().Decode(out, codes); n != len(out) {
			t.Errorf("%d samples of %d bytes", n, len(codes))
		}
	})
}

func BenchmarkEncodeFrame(b *testing.B) {
	in := goldenSamples(b, "speech.s16")[:320]
	e, codes := NewEncoder(), make([]byte, 160)
	b.ReportAllocs()
	for b.Loop() {
		e.Encode(codes, in)
	}
}

func BenchmarkDecodeFrame(b *testing.B) {
	codes := golden(b, "speech.g722")[:160]
	d, out := NewDecoder(), make([]int16, 320)
	b.ReportAllocs()
	for b.Loop() {
		d.Decode(out, codes)
	}
}
