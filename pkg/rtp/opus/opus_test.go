package opus

import (
	"encoding/binary"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func packets(t testing.TB, name string) (all [][]byte) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".packets")
	if err != nil {
		t.Fatal(err)
	}
	for len(b) >= 2 {
		n := int(binary.BigEndian.Uint16(b))
		all, b = append(all, b[2:2+n]), b[2+n:]
	}
	return all
}

func pcm(t testing.TB, name string) []int16 {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".s16")
	if err != nil {
		t.Fatal(err)
	}
	s := make([]int16, len(b)/2)
	for i := range s {
		s[i] = int16(binary.LittleEndian.Uint16(b[2*i:]))
	}
	return s
}

func snr(want, got []int16) float64 {
	var signal, noise float64
	for i := range want {
		signal += float64(want[i]) * float64(want[i])
		noise += math.Pow(float64(want[i])-float64(got[i]), 2)
	}
	return 10 * math.Log10(signal/max(noise, 1))
}

func names() []string { return []string{"silk", "hybrid", "wide", "celt", "fec"} }

func newDecoder(t testing.TB, rate int) *Decoder {
	t.Helper()
	d, err := NewDecoder(rate)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newEncoder(t testing.TB, c Config) *Encoder {
	t.Helper()
	e, err := NewEncoder(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func decodeAll(t testing.TB, d *Decoder, packets [][]byte) (out []int16) {
	t.Helper()
	frame := make([]int16, samples(MaxDuration, d.rate))
	for _, p := range packets {
		n, err := d.Decode(frame, p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, frame[:n]...)
	}
	return out
}

// Processors round floats in different orders, so this is a figure and not equality; on amd64 all but
// the stereo stream are the same to the bit.
func TestDecodesAsTheReference(t *testing.T) {
	t.Parallel()
	for _, name := range names() {
		want, got := pcm(t, name), decodeAll(t, newDecoder(t, 48000), packets(t, name))
		if len(got) != len(want) {
			t.Fatalf("%s: %d samples, want %d", name, len(got), len(want))
		}
		if db := snr(want, got); db < 60 {
			t.Errorf("%s: %.1f dB", name, db)
		}
	}
}

// At lower rates each third or sixth sample is the same, but for the delay of the library's filters.
func TestDecodesAtAnyRate(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{8000, 16000} {
		for _, name := range names() {
			want := pcm(t, name)
			got := decodeAll(t, newDecoder(t, rate), packets(t, name))
			if len(got)*(48000/rate) != len(want) {
				t.Errorf("%s at %d: %d samples of %d", name, rate, len(got), len(want))
			}
			if energy(got) < 0.5*energy(want) || energy(got) > 1.2*energy(want) {
				t.Errorf("%s at %d: level %.0f, want %.0f", name, rate, energy(got), energy(want))
			}
		}
	}
}

func energy(s []int16) float64 {
	var sum float64
	for _, x := range s {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum / float64(len(s)))
}

func TestDurations(t *testing.T) {
	t.Parallel()
	for packet, want := range map[string]time.Duration{
		"\x00": 10, "\x08": 20, "\x10": 40, "\x18": 60, "\x60": 10, "\x68": 20, "\x98": 20, "\x90": 10, "\x09": 40,
		"\x0a": 40, "\x0b\x03": 60, "\x0b\x46": 120,
		"": 0, "\x0b": 0, "\x0b\x00": 0, "\x0b\x07": 0,
	} {
		if got, ok := Duration([]byte(packet)); (ok || want > 0) && (got != want*time.Millisecond || !ok) {
			t.Errorf("%x plays %v, %v", packet, got, ok)
		}
	}
	if got, ok := Duration([]byte{0x80}); got != 2500*time.Microsecond || !ok {
		t.Errorf("the shortest plays %v", got)
	}
	for _, name := range names() {
		var total time.Duration
		for _, p := range packets(t, name) {
			d, _ := Duration(p)
			total += d
		}
		if total != 300*time.Millisecond {
			t.Errorf("%s plays %v", name, total)
		}
	}
}

// tone is a sine.
func tone(rate int, seconds float64) []int16 {
	s := make([]int16, int(float64(rate)*seconds))
	for i := range s {
		s[i] = int16(9000 * math.Sin(2*math.Pi*440*float64(i)/float64(rate)))
	}
	return s
}

// bestSNR is the figure at the delay where it is best: coders delay by some milliseconds.
func bestSNR(want, got []int16, maxDelay int) (best float64, delay int) {
	best = math.Inf(-1)
	start := len(want) / 4 // where coders have settled
	part := want[start : start+5*maxDelay]
	for d := range maxDelay {
		if db := snr(part, got[start+d:][:len(part)]); db > best {
			best, delay = db, d
		}
	}
	return best, delay
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, rate := range rates() {
		for _, frame := range frames() {
			e, d := newEncoder(t, Config{Rate: rate, Frame: frame}), newDecoder(t, rate)
			in, bytes := tone(rate, 1.2), 0
			var sent [][]byte
			for rest := in; len(rest) >= e.Frame(); rest = rest[e.Frame():] {
				p := make([]byte, MaxPacket)
				n, err := e.Encode(p, rest[:e.Frame()])
				if err != nil {
					t.Fatal(err)
				}
				if got, ok := Duration(p[:n]); !ok || got != frame {
					t.Fatalf("a packet plays %v", got)
				}
				sent, bytes = append(sent, p[:n]), bytes+n
			}
			out := decodeAll(t, d, sent)
			if db, delay := bestSNR(in[:len(out)], out, rate/50); db < 26 {
				t.Errorf("%d, %v: %.1f dB at %d", rate, frame, db, delay)
			}
			if rateBits := 8 * float64(bytes) / 1.2; rateBits > 1.4*DefaultBitrate {
				t.Errorf("%d, %v: %.0f bit/s", rate, frame, rateBits)
			}
		}
	}
}

// A copy in the next packet brings back what was lost better than concealment does.
func TestLossIsRecovered(t *testing.T) {
	t.Parallel()
	all, lost := packets(t, "fec"), 8
	whole := decodeAll(t, newDecoder(t, 48000), all)
	part := whole[lost*960 : lost*960+960]
	recovered, concealed := make([]int16, 960), make([]int16, 960)
	d := newDecoder(t, 48000)
	decodeAll(t, d, all[:lost])
	if err := d.Recover(recovered, all[lost+1]); err != nil {
		t.Fatal(err)
	}
	d = newDecoder(t, 48000)
	decodeAll(t, d, all[:lost])
	if err := d.Conceal(concealed); err != nil {
		t.Fatal(err)
	}
	with, without := snr(part, recovered), snr(part, concealed)
	if with < 6 || with < without+3 {
		t.Errorf("recovered to %.1f dB, concealed to %.1f dB", with, without)
	}
}

func TestConcealmentFadesOut(t *testing.T) {
	t.Parallel()
	d := newDecoder(t, 16000)
	last := decodeAll(t, d, packets(t, "wide"))
	gap := make([]int16, 16000)
	if err := d.Conceal(gap); err != nil {
		t.Fatal(err)
	}
	if first := energy(gap[:160]); first < energy(last[len(last)-320:])/8 {
		t.Errorf("the gap starts at %.0f", first)
	}
	if end := energy(gap[15000:]); end > 40 {
		t.Errorf("after a second it is %.0f", end)
	}
	cold := []int16{1, 2, 3, 4}
	for i := len(cold); i < 320; i++ {
		cold = append(cold, 7)
	}
	if err := newDecoder(t, 16000).Conceal(cold); err != nil || energy(cold) != 0 {
		t.Errorf("before the first packet: %v, level %.0f", err, energy(cold))
	}
}

func TestSilenceIsNotSent(t *testing.T) {
	t.Parallel()
	e := newEncoder(t, Config{Rate: 16000, DTX: true})
	sent, p := 0, make([]byte, MaxPacket)
	for range 100 {
		n, err := e.Encode(p, make([]int16, e.Frame()))
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			sent++
		}
	}
	if sent == 0 || sent > 30 {
		t.Errorf("%d of 100 packets of silence were sent", sent)
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	t.Parallel()
	for say, c := range map[string]Config{
		"sample rate": {Rate: 44100}, "frame": {Rate: 8000, Frame: time.Second}, "bit rate": {Rate: 8000, Bitrate: 1},
		"complexity": {Rate: 8000, Complexity: 11}, "loss": {Rate: 8000, Loss: 101},
	} {
		if _, err := NewEncoder(c); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := NewDecoder(11025); err == nil {
		t.Error("a decoder for 11025")
	}
}

func TestNoAllocation(t *testing.T) {
	e, d := newEncoder(t, Config{Rate: 48000, Loss: 5}), newDecoder(t, 48000)
	in, out, packet := tone(48000, .02), make([]int16, 5760), make([]byte, MaxPacket)
	step := func() {
		n, _ := e.Encode(packet, in)
		_, _ = d.Decode(out, packet[:n])
	}
	for range 50 {
		step()
	}
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A stranger's packets are decoded or refused, in bounded time, and the decoder goes on.
func FuzzDecode(f *testing.F) {
	for _, name := range names() {
		p := packets(f, name)
		f.Add(p[3], p[4])
	}
	f.Add([]byte{0xff, 0xff}, []byte{3})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		d := newDecoder(t, 8000)
		out := make([]int16, samples(MaxDuration, 8000))
		for _, p := range [][]byte{first, second} {
			n, err := d.Decode(out, p)
			if want, ok := Duration(p); err == nil && (!ok || n != samples(want, 8000)) {
				t.Errorf("%d samples of %v, %v", n, want, ok)
			}
		}
		_ = d.Recover(out[:160], second)
		if err := d.Conceal(out[:160]); err != nil {
			t.Error(err)
		}
		if n, err := d.Decode(out, []byte{8}); err != nil || n != 160 {
			t.Errorf("afterwards: %d, %v", n, err)
		}
	})
}

func BenchmarkDecodeFrame(b *testing.B) {
	all := packets(b, "hybrid")
	for _, rate := range rates() {
		b.Run(strconv.Itoa(rate), func(b *testing.B) {
			d, out, i := newDecoder(b, rate), make([]int16, 5760), 0
			b.ReportAllocs()
			for b.Loop() {
				_, _ = d.Decode(out, all[i%len(all)])
				i++
			}
		})
	}
}

func BenchmarkEncodeFrame(b *testing.B) {
	for _, rate := range rates() {
		b.Run(strconv.Itoa(rate), func(b *testing.B) {
			e, packet := newEncoder(b, Config{Rate: rate}), make([]byte, MaxPacket)
			in, i := tone(rate, 1), 0
			b.ReportAllocs()
			for b.Loop() {
				_, _ = e.Encode(packet, in[i*e.Frame():(i+1)*e.Frame()])
				i = (i + 1) % 50
			}
		})
	}
}
