package oggopus

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/coraltele/sanchar/pkg/rtp/opus"
)

// speech returns packets of 20 ms.
func speech(t testing.TB, n int) (all [][]byte) {
	t.Helper()
	e, err := opus.NewEncoder(opus.Config{Rate: 16000})
	if err != nil {
		t.Fatal(err)
	}
	pcm := make([]int16, e.Frame())
	for i := range n {
		for k := range pcm {
			pcm[k] = int16((i*len(pcm)+k)%97*200 - 9700)
		}
		p := make([]byte, opus.MaxPacket)
		size, err := e.Encode(p, pcm)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p[:size])
	}
	return all
}

func newWriter(t testing.TB, w io.Writer) *Writer {
	t.Helper()
	out, err := NewWriter(w, Config{Head: Head{Channels: 1, PreSkip: 312, Rate: 16000}, Serial: 7, Comments: []string{"TITLE=a call"}})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func write(t testing.TB, packets [][]byte, finish bool) []byte {
	t.Helper()
	var b bytes.Buffer
	w := newWriter(t, &b)
	for i, p := range packets {
		if err := w.Packet(int64(i)*960, p); err != nil {
			t.Fatal(err)
		}
	}
	end := w.Flush
	if finish {
		end = w.Finish
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readAll(r io.Reader) (all [][]byte, granule int64, err error) {
	file, err := NewReader(r)
	if err != nil {
		return nil, 0, err
	}
	for {
		p, err := file.Next()
		if err != nil {
			return all, file.Granule(), err
		}
		all = append(all, bytes.Clone(p))
	}
}

func same(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	packets := speech(t, 333)
	long := append([]byte{15 << 3}, make([]byte, 3000)...) // more segments than one
	exact := append([]byte{15 << 3}, make([]byte, 254)...) // a whole segment and an empty one
	packets = append(packets, long, exact)
	got, granule, err := readAll(iotest.HalfReader(bytes.NewReader(write(t, packets, true))))
	if err != io.EOF || !same(got, packets) || granule != 335*960 {
		t.Errorf("%d packets to %d, %v", len(got), granule, err)
	}
}

// What was flushed is there after a crash at any later byte.
func TestTornFile(t *testing.T) {
	t.Parallel()
	packets := speech(t, 120)
	b := write(t, packets, false)
	whole := len(write(t, packets[:51], false)) // the first page holds a second and the packet that ends it
	for cut := whole; cut <= len(b); cut += 7 {
		got, _, err := readAll(bytes.NewReader(b[:cut]))
		if !errors.Is(err, ErrTorn) || len(got) < 50 || !same(got, packets[:len(got)]) {
			t.Fatalf("cut at %d: %d packets, %v", cut, len(got), err)
		}
	}
	b[len(b)-100] ^= 1
	if got, _, err := readAll(bytes.NewReader(b)); !errors.Is(err, ErrTorn) || len(got) >= 120 {
		t.Errorf("a wrong byte: %d packets, %v", len(got), err)
	}
}

func TestGapsAreFilled(t *testing.T) {
	t.Parallel()
	packets := speech(t, 3)
	var b bytes.Buffer
	w := newWriter(t, &b)
	for i, at := range []int64{0, 960 * 10, 960*10 + 1900, 960 * 12} { // a gap; jitter of less than a frame; late
		if err := w.Packet(at, packets[i%3]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.FillTo(960 * 20); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	got, granule, err := readAll(&b)
	if err != io.EOF || granule != 960*20 || len(got) != 20 || w.Position() != granule {
		t.Fatalf("%d packets to %d, %v", len(got), granule, err)
	}
	d, _ := opus.NewDecoder(16000)
	pcm := make([]int16, 16000)
	for i, p := range got {
		if n, err := d.Decode(pcm, p); n != 320 || err != nil {
			t.Errorf("packet %d: %d samples, %v", i, n, err)
		}
	}
}

func TestWrongIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := NewWriter(io.Discard, Config{Head: Head{Channels: 3}}); err == nil {
		t.Error("three channels")
	}
	if err := newWriter(t, io.Discard).Packet(0, nil); err == nil {
		t.Error("an empty packet")
	}
	broken := errors.New("broken disk")
	if _, err := NewReader(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a read error is %v", err)
	}
	good := write(t, speech(t, 1), true)
	for name, b := range map[string][]byte{"empty": nil, "half": good[:40], "not Ogg": []byte("RIFF1234WAVEfmt and so on and on"), "no tags": good[:47]} {
		if _, err := NewReader(bytes.NewReader(b)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// ffmpeg is of Debian; where it is missing, the tests above stand alone.
func TestAnotherPlayerDecodesIt(t *testing.T) {
	t.Parallel()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("ffmpeg is not installed")
	}
	for _, finish := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "a.opus")
		if err := os.WriteFile(path, write(t, speech(t, 150), finish), 0o600); err != nil {
			t.Fatal(err)
		}
		var faults bytes.Buffer
		cmd := exec.Command(ffmpeg, "-v", "warning", "-i", path, "-f", "s16le", "-ac", "1", "-ar", "48000", "-")
		cmd.Stderr = &faults
		raw, err := cmd.Output()
		if samples := len(raw) / 2; err != nil || faults.Len() > 0 || samples < 150*960-2000 || samples > 150*960 {
			t.Errorf("finished %v: %d samples, %v, %s", finish, samples, err, faults.String())
		}
	}
}

func TestPacketsDoNotAllocate(t *testing.T) {
	w, p, at := newWriter(t, io.Discard), speech(t, 1)[0], int64(0)
	step := func() { _ = w.Packet(at, p); at += 960 }
	for range 300 {
		step()
	}
	if n := testing.AllocsPerRun(500, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(write(f, speech(f, 5), true))
	f.Add(write(f, speech(f, 60), false))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _, err := readAll(bytes.NewReader(b))
		total := 0
		for _, p := range got {
			total += len(p)
		}
		if err == nil || total > len(b) {
			t.Errorf("%d bytes of %d, %v", total, len(b), err)
		}
	})
}

func BenchmarkPacket(b *testing.B) {
	w, p, at := newWriter(b, io.Discard), speech(b, 1)[0], int64(0)
	b.ReportAllocs()
	for b.Loop() {
		_ = w.Packet(at, p)
		at += 960
	}
}
