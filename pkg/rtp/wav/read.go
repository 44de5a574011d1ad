package wav

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/coraltele/sanchar/pkg/rtp/g711"
)

// ErrFormat is wrapped by errors that say that the file is not one that Reader reads.
var ErrFormat = errors.New("not a wav file of speech")

// Bounds of what stands before the samples.
const (
	maxChunks     = 64      // lists of titles and the like
	maxChunkBytes = 1 << 20 // of a chunk that is passed over: a picture at most
	maxFmtBytes   = 64      // 40 is the longest known
)

// Reader reads the samples of a file from front to back. It is for one goroutine.
type Reader struct {
	r       io.Reader
	format  Format
	left    int64 // bytes of data that are still to come; -1 to the end of the file
	scratch [chunk]byte
}

// NewReader reads the header from r.
func NewReader(r io.Reader) (*Reader, error) {
	var riff [12]byte
	if _, err := io.ReadFull(r, riff[:]); err != nil {
		return nil, headerError("RIFF header", err)
	}
	if string(riff[:4]) != "RIFF" || string(riff[8:]) != "WAVE" {
		return nil, fmt.Errorf("%w: it does not start with RIFF and WAVE", ErrFormat)
	}
	file := &Reader{r: r}
	for range maxChunks {
		if done, err := file.chunk(); done || err != nil {
			return file, err
		}
	}
	return nil, fmt.Errorf("%w: more than %d chunks before the samples", ErrFormat, maxChunks)
}

// headerError tells a file that ends from one that cannot be read.
func headerError(what string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends within the %s", ErrFormat, what)
	}
	return fmt.Errorf("read wav %s: %w", what, err)
}

// chunk reads or passes over one chunk. It is done when it stands at the first sample.
func (r *Reader) chunk() (done bool, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return false, headerError("chunk's head", err)
	}
	size := binary.LittleEndian.Uint32(head[4:])
	switch string(head[:4]) {
	case "fmt ":
		return false, r.fmtChunk(size)
	case "data":
		if r.format.Channels == 0 {
			return false, fmt.Errorf("%w: samples stand before their format", ErrFormat)
		}
		if r.left = int64(size); size == unknown || size == 0 { // 0 is what some write until they finish
			r.left = -1
		}
		return true, nil
	}
	if size > maxChunkBytes {
		return false, fmt.Errorf("%w: a chunk of %d bytes before the samples, more than %d", ErrFormat, size, maxChunkBytes)
	}
	return false, r.skip(int(size) + int(size&1))
}

func (r *Reader) skip(n int) error {
	for n > 0 {
		k, err := io.ReadFull(r.r, r.scratch[:min(n, chunk)])
		if err != nil {
			return headerError("chunk", err)
		}
		n -= k
	}
	return nil
}

func (r *Reader) fmtChunk(size uint32) error {
	if size < 16 || size > maxFmtBytes {
		return fmt.Errorf("%w: its fmt chunk has %d bytes, not 16 to %d", ErrFormat, size, maxFmtBytes)
	}
	b := r.scratch[:size+size&1]
	if _, err := io.ReadFull(r.r, b); err != nil {
		return headerError("fmt chunk", err)
	}
	le := binary.LittleEndian
	f := Format{Encoding(le.Uint16(b)), int(le.Uint32(b[4:])), int(le.Uint16(b[2:]))}
	if f.Encoding == extensible && size >= 26 {
		f.Encoding = Encoding(le.Uint16(b[24:])) // first word of the format's GUID
	}
	if err := f.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if bits := int(le.Uint16(b[14:])); bits != 8*f.Encoding.bytes() {
		return fmt.Errorf("%w: %v of %d bits", ErrFormat, f.Encoding, bits)
	}
	r.format = f
	return nil
}

// Format tells what the file holds.
func (r *Reader) Format() Format { return r.format }

// Samples fills samples, of two channels alternating, and returns how many it read: fewer only at the
// end of the file, where the error is io.EOF when there are none. A last frame that is torn is
// left out.
func (r *Reader) Samples(samples []int16) (n int, err error) {
	size := r.format.Encoding.bytes()
	samples = samples[:len(samples)/r.format.Channels*r.format.Channels]
	for n < len(samples) {
		want := min((len(samples)-n)*size, chunk)
		if r.left >= 0 {
			want = min(want, int(min(r.left, chunk)))
		}
		want -= want % r.format.frameBytes()
		got, err := io.ReadFull(r.r, r.scratch[:want])
		got -= got % r.format.frameBytes()
		r.decode(samples[n:], r.scratch[:got])
		n += got / size
		if r.left >= 0 {
			r.left -= int64(got)
		}
		switch {
		case err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF):
			return n, fmt.Errorf("read wav samples: %w", err)
		case err == nil && want > 0:
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
	return n, nil
}

func (r *Reader) decode(samples []int16, data []byte) {
	switch r.format.Encoding {
	case PCMA:
		g711.DecodeA(samples, data)
	case PCMU:
		g711.DecodeMu(samples, data)
	default:
		for i := range len(data) / 2 {
			samples[i] = int16(binary.LittleEndian.Uint16(data[2*i:]))
		}
	}
}
