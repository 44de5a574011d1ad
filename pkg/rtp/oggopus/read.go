package oggopus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrTorn says that the file ends, or goes on with what is no page, before its last page: what was read is
// all there is.
var ErrTorn = errors.New("ogg file is torn")

// Reader reads the packets of a file with one stream. It is for one goroutine.
type Reader struct {
	r    io.Reader
	head Head

	page     [headerSize + maxSegments + maxSegments*fullSegment]byte
	segments []byte
	body     []byte
	granule  int64
	last     bool
	pages    uint32
	serial   uint32
	packet   []byte
}

// NewReader reads both headers from r.
func NewReader(r io.Reader) (*Reader, error) {
	file := &Reader{r: r}
	head, err := file.Next()
	if err != nil {
		return nil, headerError(err)
	}
	if file.head, err = parseHead(head); err != nil {
		return nil, err
	}
	if comments, err := file.Next(); err != nil {
		return nil, headerError(err)
	} else if len(comments) < 8 || string(comments[:8]) != "OpusTags" {
		return nil, fmt.Errorf("%w: its second packet is no OpusTags", ErrFormat)
	}
	return file, nil
}

func headerError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, ErrTorn) {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return err
}

// Head tells what the file holds.
func (r *Reader) Head() Head { return r.head }

// Granule is the end of the last packet of the page that Next reads from, in ticks.
func (r *Reader) Granule() int64 { return r.granule }

// Next returns the next packet, which is the reader's until the next call. At the file's end the error is
// io.EOF, and ErrTorn when its last page is not there.
func (r *Reader) Next() ([]byte, error) {
	r.packet = r.packet[:0]
	for {
		for len(r.segments) == 0 {
			if r.last {
				return nil, io.EOF
			}
			if err := r.readPage(len(r.packet) > 0); err != nil {
				return nil, err
			}
		}
		n := int(r.segments[0])
		if len(r.packet)+n > maxPacket {
			return nil, fmt.Errorf("%w: a packet of more than %d bytes", ErrFormat, maxPacket)
		}
		r.packet = append(r.packet, r.body[:n]...)
		r.segments, r.body = r.segments[1:], r.body[n:]
		if n < fullSegment {
			return r.packet, nil
		}
	}
}

// readPage reads the next page; continued tells that a packet goes on in it.
func (r *Reader) readPage(continued bool) error {
	head := r.page[:headerSize]
	if err := r.fill(head); err != nil {
		return err
	}
	if string(head[:5]) != "OggS\x00" {
		return ErrTorn
	}
	le := binary.LittleEndian
	segments := r.page[headerSize:][:head[26]]
	if err := r.fill(segments); err != nil {
		return err
	}
	size := 0
	for _, n := range segments {
		size += int(n)
	}
	body := r.page[headerSize+len(segments):][:size]
	if err := r.fill(body); err != nil {
		return err
	}
	sum := le.Uint32(head[22:])
	le.PutUint32(head[22:], 0)
	serial, number := le.Uint32(head[14:]), le.Uint32(head[18:])
	if r.pages == 0 {
		r.serial = serial
	}
	if checksum(r.page[:headerSize+len(segments)+size]) != sum || number != r.pages || serial != r.serial ||
		(head[5]&flagContinued != 0) != continued {
		return ErrTorn
	}
	r.granule, r.last = int64(le.Uint64(head[6:])), head[5]&flagLast != 0
	r.pages++
	r.segments, r.body = segments, body
	return nil
}

func (r *Reader) fill(b []byte) error {
	switch _, err := io.ReadFull(r.r, b); {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return ErrTorn
	default:
		return fmt.Errorf("read ogg page: %w", err)
	}
}
