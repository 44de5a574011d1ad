package wav

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/coraltele/sanchar/pkg/rtp/g711"
)

// MaxBytes is the most data that a file can have: its length, with the header, is a word of 32 bits.
const MaxBytes = unknown - headerSize - 1

// ErrFull says that the file has MaxBytes. What was written stays readable.
var ErrFull = errors.New("wav file has 4 GiB, which is the most that the format can tell")

// chunk is how many bytes of samples are made at once.
const chunk = 4096

// Writer writes a file from front to back. It is for one goroutine.
type Writer struct {
	w       io.Writer
	format  Format
	bytes   uint32
	scratch [chunk]byte
}

// NewWriter writes the header to w and returns a writer of the samples. The writer does not close w.
func NewWriter(w io.Writer, f Format) (*Writer, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	if _, err := w.Write(f.header(unknown)); err != nil {
		return nil, fmt.Errorf("write wav header: %w", err)
	}
	return &Writer{w: w, format: f}, nil
}

// NewSizedWriter is a writer of a file whose length is known: its header is true from the start, and Finish
// is not needed. The caller writes so many samples of each channel.
func NewSizedWriter(w io.Writer, f Format, frames int64) (*Writer, error) {
	size := frames * int64(f.frameBytes())
	if err := f.Validate(); err != nil {
		return nil, err
	}
	if size > MaxBytes {
		return nil, ErrFull
	}
	if _, err := w.Write(f.header(uint32(size))); err != nil {
		return nil, fmt.Errorf("write wav header: %w", err)
	}
	return &Writer{w: w, format: f}, nil
}

// Frames returns how many samples of each channel were written.
func (w *Writer) Frames() int64 { return int64(w.bytes) / int64(w.format.frameBytes()) }

// Samples encodes and writes samples, of two channels alternating. The slice is the caller's again
// when Samples returns.
func (w *Writer) Samples(samples []int16) error {
	for size := w.format.Encoding.bytes(); len(samples) > 0; {
		n := min(len(samples), chunk/size)
		w.encode(samples[:n])
		if err := w.Encoded(w.scratch[:n*size]); err != nil {
			return err
		}
		samples = samples[n:]
	}
	return nil
}

func (w *Writer) encode(samples []int16) {
	switch w.format.Encoding {
	case PCMA:
		g711.EncodeA(w.scratch[:], samples)
	case PCMU:
		g711.EncodeMu(w.scratch[:], samples)
	default:
		for i, s := range samples {
			binary.LittleEndian.PutUint16(w.scratch[2*i:], uint16(s))
		}
	}
}

// Encoded writes bytes that are in the file's encoding already: whole frames of all channels.
func (w *Writer) Encoded(data []byte) error {
	if len(data) > int(MaxBytes-w.bytes) {
		return ErrFull
	}
	n, err := w.w.Write(data)
	w.bytes += uint32(n)
	if err != nil {
		return fmt.Errorf("write wav samples: %w", err)
	}
	return nil
}

// Finish makes the header tell the length. The file's first byte is at 0 of at.
func (w *Writer) Finish(at io.WriterAt) error {
	if w.bytes&1 == 1 { // chunks are padded to whole words
		if _, err := w.w.Write([]byte{0}); err != nil {
			return fmt.Errorf("pad wav file: %w", err)
		}
	}
	if _, err := at.WriteAt(w.format.header(w.bytes), 0); err != nil {
		return fmt.Errorf("finish wav header: %w", err)
	}
	return nil
}
