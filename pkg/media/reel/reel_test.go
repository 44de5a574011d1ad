package reel

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/seal"
)

func testKey(t testing.TB) *seal.Key {
	t.Helper()
	k, err := seal.Load(filepath.Join(t.TempDir(), "key"), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var owner = seal.Owner(nil, "reel", "one")

// write makes a reel of blocks of three packets each.
func write(t testing.TB, key *seal.Key, blocks int) []byte {
	t.Helper()
	var b bytes.Buffer
	s, err := NewSealer(&b, key, owner)
	if err != nil {
		t.Fatal(err)
	}
	for i := range blocks {
		var block []byte
		for j := range 3 {
			block = Append(block, Entry{Kind: KindPacket, Track: uint8(j), Time: int64(i), Data: fmt.Appendf(nil, "speech %d of block %d", j, i)})
		}
		if n, err := s.Write(block); err != nil || n != len(block) {
			t.Fatal(n, err)
		}
	}
	return b.Bytes()
}

// read returns how many entries are whole, and why there are no more.
func read(key *seal.Key, owner, file []byte) (n int, err error) {
	r, err := NewReader(bytes.NewReader(file), key, owner)
	for err == nil {
		var e Entry
		if e, err = r.Next(); err == nil {
			if want := fmt.Sprintf("speech %d of block %d", n%3, n/3); string(e.Data) != want || e.Time != int64(n/3) || int(e.Track) != n%3 {
				return n, fmt.Errorf("entry %d is %+v", n, e)
			}
			n++
		}
	}
	return n, err
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	file := write(t, key, 50)
	if n, err := read(key, owner, file); n != 150 || err != io.EOF {
		t.Errorf("read %d entries, %v", n, err)
	}
	if bytes.Contains(file, []byte("speech")) {
		t.Error("speech lies open in the file")
	}
}

// Entries may be longer than a block together, and none is torn by it.
func TestEntriesGoOverBlocks(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	var b bytes.Buffer
	s, err := NewSealer(&b, key, owner)
	if err != nil {
		t.Fatal(err)
	}
	var block []byte
	const entries = 1000
	for i := range entries {
		block = Append(block, Entry{Kind: KindPacket, Time: int64(i), Data: bytes.Repeat([]byte{byte(i)}, 1000+i)})
	}
	if _, err := s.Write(block); err != nil || len(block) < 2*MaxBlock {
		t.Fatal(len(block), err)
	}
	r, err := NewReader(&b, key, owner)
	if err != nil {
		t.Fatal(err)
	}
	for i := range entries {
		if e, err := r.Next(); err != nil || e.Time != int64(i) || len(e.Data) != 1000+i || e.Data[999] != byte(i) {
			t.Fatalf("entry %d: %d bytes, %v", i, len(e.Data), err)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Error(err)
	}
}

// Wherever a file is cut, all blocks before the cut are read, and nothing else.
func TestTornFileIsReadToTheTear(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	file := write(t, key, 4)
	block := (len(file) - headSize) / 4
	for cut := range len(file) {
		n, err := read(key, owner, file[:cut])
		whole := max(0, cut-headSize) / block
		atEdge := cut >= headSize && (cut-headSize)%block == 0
		if n != 3*whole || (atEdge && err != io.EOF) || (!atEdge && !errors.Is(err, ErrDamaged)) {
			t.Fatalf("cut at %d: %d entries, %v", cut, n, err)
		}
	}
}

func TestChangedFileIsRefused(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	file := write(t, key, 3)
	for at := range file {
		changed := bytes.Clone(file)
		changed[at] ^= 4
		if n, err := read(key, owner, changed); err == io.EOF || n == 9 {
			t.Fatalf("changed at %d: %d entries, %v", at, n, err)
		}
	}
	if _, err := read(key, seal.Owner(nil, "reel", "two"), file); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("read as another's: %v", err)
	}
	if _, err := read(testKey(t), owner, file); !errors.Is(err, seal.ErrOtherKey) {
		t.Errorf("read with another key: %v", err)
	}
}

func TestLongWriteIsSeveralBlocks(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	var b bytes.Buffer
	s, err := NewSealer(&b, key, owner)
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("sound "), MaxBlock/3)
	if n, err := s.Write(want); n != len(want) || err != nil {
		t.Fatal(n, err)
	}
	o, err := NewOpener(&b, key, owner)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(o); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
}

func TestEntryThatIsTooLong(t *testing.T) {
	t.Parallel()
	if _, err := AppendJSON(nil, Entry{Kind: KindAbout}, About{ID: string(make([]byte, MaxData))}); err == nil {
		t.Error("it was taken")
	}
	b, err := AppendJSON(nil, Entry{Kind: KindAbout}, About{ID: "one"})
	if err != nil || !bytes.Contains(b, []byte(`"id":"one"`)) {
		t.Errorf("%s, %v", b, err)
	}
}

func FuzzReader(f *testing.F) {
	key := testKey(f)
	file := write(f, key, 2)
	f.Add(file[headSize:])
	f.Add([]byte{0, 0, 0, 1})
	f.Fuzz(func(_ *testing.T, blocks []byte) {
		r, err := NewReader(bytes.NewReader(append(bytes.Clone(file[:headSize]), blocks...)), key, owner)
		for err == nil {
			_, err = r.Next()
		}
	})
}

// The bytes of one block, as a key's holder could have written them.
func FuzzEntries(f *testing.F) {
	f.Add(Append(nil, Entry{Kind: KindTrack, Data: []byte("{}")}))
	f.Fuzz(func(_ *testing.T, block []byte) {
		r := &Reader{r: bufio.NewReader(bytes.NewReader(block))}
		for err := error(nil); err == nil; {
			_, err = r.Next()
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	s, err := NewSealer(io.Discard, testKey(b), owner)
	if err != nil {
		b.Fatal(err)
	}
	const packets = 100
	var block []byte
	for range packets {
		block = Append(block, Entry{Kind: KindPacket, Data: make([]byte, 172)})
	}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.Write(block)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/packets, "ns/packet")
}
