package g711

import (
	"encoding/binary"
	"math"
	"os"
	"testing"
)

// law is one of the two, as the standard's tables give it: levels counts up from zero.
type law struct {
	name    string
	golden  string
	decode  func([]int16, []byte) int
	encode  func([]byte, []int16) int
	code    func(positive bool, level int) byte
	edges   []int // decision values x(0)..x(128) in units of a 16-bit sample
	silence byte
}

// edgesA derives the decision values of ITU-T G.711 table 1a from its segments: two of 16 intervals
// 2 wide, then each of 16 intervals twice as wide as the one before, to 4096, which is 32768 here.
func edgesA() (edges []int) {
	x, width := 0, 2
	for n := range 128 {
		if n >= 32 && n%16 == 0 {
			width *= 2
		}
		edges = append(edges, x*8)
		x += width
	}
	return append(edges, x*8)
}

// edgesMu derives those of table 2a: one interval 1 wide, 15 of 2, then 16 of 4, 16 of 8 ... to 8159.
func edgesMu() (edges []int) {
	x, width := 0, 1
	for n := range 128 {
		switch {
		case n == 1:
			width = 2
		case n > 0 && n%16 == 0:
			width *= 2
		}
		edges = append(edges, x*4)
		x += width
	}
	return append(edges, x*4)
}

func laws() []law {
	return []law{
		{
			name: "A", golden: "testdata/alaw.s16", decode: DecodeA, encode: EncodeA, edges: edgesA(), silence: SilenceA,
			code: func(positive bool, level int) byte {
				if positive {
					level |= 0x80
				}
				return byte(level) ^ 0b01010101
			},
		},
		{
			name: "µ", golden: "testdata/mulaw.s16", decode: DecodeMu, encode: EncodeMu, edges: edgesMu(), silence: SilenceMu,
			code: func(positive bool, level int) byte {
				if positive {
					return byte(255 - level)
				}
				return byte(127 - level)
			},
		},
	}
}

func TestEdgesEndWhereTheStandardSays(t *testing.T) {
	t.Parallel()
	if got := edgesA()[128]; got != 4096*8 {
		t.Errorf("A-law ends at %d", got)
	}
	if got := edgesMu()[128]; got != 8159*4 {
		t.Errorf("µ-law ends at %d", got)
	}
}

// Each value stands in the middle of its interval, and each sample has the code of the interval
// that it lies in.
func TestEveryCodeAndEverySample(t *testing.T) {
	t.Parallel()
	for _, l := range laws() {
		for level := range 128 {
			low, high := l.edges[level], l.edges[level+1]
			middle := (low + high) / 2
			if l.name == "µ" && level == 0 {
				middle = 0 // table 2a: y(1) is 0, its interval reaches across zero
			}
			for _, positive := range []bool{true, false} {
				want, sign := l.code(positive, level), 1
				if !positive {
					sign = -1
				}
				var sample [1]int16
				if l.decode(sample[:], []byte{want}); int(sample[0]) != sign*middle {
					t.Fatalf("%s-law %#02x decodes to %d, want %d", l.name, want, sample[0], sign*middle)
				}
				if level == 127 {
					high = 32768 // what is louder than the last level has its code
				}
				for x := low; x < high; x++ {
					s := int16(x)
					if !positive {
						s = int16(-x - 1)
					}
					var code [1]byte
					if l.encode(code[:], []int16{s}); code[0] != want {
						t.Fatalf("%s-law of %d is %#02x, want %#02x", l.name, s, code[0], want)
					}
				}
			}
		}
	}
}

// The files were made of the bytes 0 to 255 by ffmpeg 5.1.9, see testdata/README.
func TestDecodesAsAnother(t *testing.T) {
	t.Parallel()
	codes := make([]byte, 256)
	for i := range codes {
		codes[i] = byte(i)
	}
	for _, l := range laws() {
		golden, err := os.ReadFile(l.golden)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]int16, 256)
		if n := l.decode(got, codes); n != len(golden)/2 {
			t.Fatalf("%s-law: %d samples, want %d", l.name, n, len(golden)/2)
		}
		for i, s := range got {
			if want := int16(binary.LittleEndian.Uint16(golden[2*i:])); s != want {
				t.Errorf("%s-law %#02x is %d, want %d", l.name, i, s, want)
			}
		}
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	for _, l := range laws() {
		var code [1]byte
		if l.encode(code[:], []int16{0}); code[0] != l.silence {
			t.Errorf("%s-law of 0 is %#02x, want %#02x", l.name, code[0], l.silence)
		}
	}
}

// ITU-T G.712 wants at least 33 dB over most of the range, of which a sine at -10 dBm0 is the middle.
func TestSignalToNoise(t *testing.T) {
	t.Parallel()
	in := make([]int16, 8000)
	for i := range in {
		in[i] = int16(7200 * math.Sin(2*math.Pi*1004*float64(i)/Rate))
	}
	for _, l := range laws() {
		codes, out := make([]byte, len(in)), make([]int16, len(in))
		l.encode(codes, in)
		l.decode(out, codes)
		var signal, noise float64
		for i, s := range in {
			signal += float64(s) * float64(s)
			noise += math.Pow(float64(s)-float64(out[i]), 2)
		}
		if db := 10 * math.Log10(signal/noise); db < 37 {
			t.Errorf("%s-law: %.1f dB", l.name, db)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	codes, samples := make([]byte, 160), make([]int16, 160)
	for _, l := range laws() {
		if n := testing.AllocsPerRun(100, func() { l.encode(codes, samples); l.decode(samples, codes) }); n != 0 {
			t.Errorf("%s-law: %v allocations", l.name, n)
		}
	}
}

func BenchmarkDecodeFrame(b *testing.B) {
	codes, samples := make([]byte, 160), make([]int16, 160)
	b.ReportAllocs()
	for b.Loop() {
		DecodeA(samples, codes)
	}
}

func BenchmarkEncodeFrame(b *testing.B) {
	codes, samples := make([]byte, 160), make([]int16, 160)
	b.ReportAllocs()
	for b.Loop() {
		EncodeA(codes, samples)
	}
}
