package oggopus

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/coraltele/sanchar/pkg/rtp/opus"
)

// Config says what a file is.
type Config struct {
	Head
	Serial   uint32   // of the stream: any number, best a random one
	Comments []string // NAME=value each
}

// Writer writes a file from front to back. It keeps no slice that it was given. It is for one goroutine.
type Writer struct {
	w        io.Writer
	serial   uint32
	pages    uint32
	segments []byte // of the page that is made
	body     []byte
	page     []byte // scratch

	position int64 // ticks of all packets
	begun    int64 // position at which the page begins
	last     byte  // first byte of the last packet
	any      bool
}

// NewWriter writes both headers to w and returns a writer of packets. It does not close w.
func NewWriter(w io.Writer, c Config) (*Writer, error) {
	if c.Channels != 1 && c.Channels != 2 {
		return nil, fmt.Errorf("ogg opus file has %d channels: it must have 1 or 2", c.Channels)
	}
	out := &Writer{w: w, serial: c.Serial}
	comments := tags(c.Comments)
	if len(comments) > maxPacket {
		return nil, fmt.Errorf("ogg opus comments have %d bytes: they may have %d", len(comments), maxPacket)
	}
	// RFC 7845 §3: each header has pages of its own.
	for _, header := range [][]byte{c.encode(), comments} {
		out.add(header)
		if err := out.Flush(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Position is where the next packet stands, in ticks of 48 kHz since the start.
func (w *Writer) Position() int64 { return w.position }

// Packet writes a packet that is to be played at so many ticks of 48 kHz since the start. What is
// missing before it is filled so that players conceal it; one that comes too early follows on the last.
func (w *Writer) Packet(at int64, packet []byte) error {
	length, ok := opus.Duration(packet)
	if !ok || len(packet) > maxPacket {
		return fmt.Errorf("write ogg opus: %d bytes are no packet", len(packet))
	}
	if err := w.fill(at, packet[0]); err != nil {
		return err
	}
	w.last, w.any = packet[0], true
	return w.append(packet, length)
}

// fill writes packets without sound up to a position. RFC 7845 §4.1: they have the configuration of
// those around them, so that the decoder conceals in the same mode, and no data.
func (w *Writer) fill(to int64, next byte) error {
	toc := next
	if w.any {
		toc = w.last
	}
	empty := [1]byte{toc &^ 3} // one frame, of no bytes
	length, _ := opus.Duration(empty[:])
	for to-w.position >= ticks(length) {
		if err := w.append(empty[:], length); err != nil {
			return err
		}
	}
	return nil
}

// FillTo makes the file reach a position, at the end of a recording whose last part was silent.
func (w *Writer) FillTo(at int64) error { return w.fill(at, silentTOC) }

// silentTOC is of a frame of 20 ms, wideband speech, mono.
const silentTOC = 9 << 3

func ticks(d time.Duration) int64 { return int64(d) * rate / int64(time.Second) }

func (w *Writer) append(packet []byte, length time.Duration) error {
	if len(w.segments)+len(packet)/fullSegment+1 > maxSegments || w.position-w.begun >= ticks(MaxPage) {
		if err := w.Flush(); err != nil {
			return err
		}
	}
	w.add(packet)
	w.position += ticks(length)
	return nil
}

// add puts a packet into the page, in segments (RFC 3533 §5).
func (w *Writer) add(packet []byte) {
	w.body = append(w.body, packet...)
	left := len(packet)
	for ; left >= fullSegment; left -= fullSegment {
		w.segments = append(w.segments, fullSegment)
	}
	w.segments = append(w.segments, byte(left))
}

// Flush writes the page as it is, if it has a packet. Afterwards, all that was given can be played as soon
// as it is on disk.
func (w *Writer) Flush() error {
	if len(w.segments) == 0 {
		return nil
	}
	return w.write(0)
}

// Finish writes the last page.
func (w *Writer) Finish() error { return w.write(flagLast) }

func (w *Writer) write(flags byte) error {
	if w.pages == 0 {
		flags |= flagFirst
	}
	le := binary.LittleEndian
	p := append(w.page[:0], "OggS\x00"...)
	p = append(p, flags)
	p = le.AppendUint64(p, uint64(w.position))
	p = le.AppendUint32(p, w.serial)
	p = le.AppendUint32(p, w.pages)
	p = le.AppendUint32(p, 0)
	p = append(p, byte(len(w.segments)))
	p = append(p, w.segments...)
	p = append(p, w.body...)
	le.PutUint32(p[22:], checksum(p))
	w.page = p
	if _, err := w.w.Write(p); err != nil {
		return fmt.Errorf("write ogg page: %w", err)
	}
	w.pages++
	w.begun, w.segments, w.body = w.position, w.segments[:0], w.body[:0]
	return nil
}
