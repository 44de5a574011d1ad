package capture

import (
	"encoding/binary"
	"io"
	"time"
)

// Blocks and options of the pcapng format (draft-ietf-opsawg-pcapng).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockStats     = 5
	blockPacket    = 6
	byteOrder      = 0x1a2b3c4d

	optComment  = 1
	optName     = 2
	optFilter   = 11
	optTimeUnit = 9
	optDropped  = 5
	nanoseconds = 9

	linkEthernet = 1
	linkRaw      = 101
)

// file writes pcapng.
type file struct {
	w       io.Writer
	written int64
}

func (f *file) block(kind uint32, body []byte) error {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	total := uint32(len(body) + 12)
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, total), kind)
	b = binary.LittleEndian.AppendUint32(b, total)
	b = append(b, body...)
	b = binary.LittleEndian.AppendUint32(b, total)
	n, err := f.w.Write(b)
	f.written += int64(n)
	return err
}

func option(b []byte, code uint16, value []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// begin says where and by what filter is recorded.
func (f *file) begin(iface, filter string, linkType uint16) error {
	head := binary.LittleEndian.AppendUint32(nil, byteOrder)
	head = binary.LittleEndian.AppendUint16(head, 1) // version 1.0
	head = binary.LittleEndian.AppendUint16(head, 0)
	head = binary.LittleEndian.AppendUint64(head, ^uint64(0)) // of a length that is not known yet
	head = append(option(head, optComment, []byte("Sanchar")), 0, 0, 0, 0)
	if err := f.block(blockSection, head); err != nil {
		return err
	}
	body := binary.LittleEndian.AppendUint16(nil, linkType)
	body = append(body, 0, 0)
	body = binary.LittleEndian.AppendUint32(body, MaxSnap)
	body = option(body, optName, []byte(iface))
	body = option(body, optTimeUnit, []byte{nanoseconds})
	if filter != "" {
		body = option(body, optFilter, append([]byte{0}, filter...))
	}
	return f.block(blockInterface, append(body, 0, 0, 0, 0))
}

func (f *file) packet(at time.Time, frame []byte, length int) error {
	now := uint64(at.UnixNano())
	body := make([]byte, 0, len(frame)+24)
	body = binary.LittleEndian.AppendUint32(body, 0)
	body = binary.LittleEndian.AppendUint32(body, uint32(now>>32))
	body = binary.LittleEndian.AppendUint32(body, uint32(now))
	body = binary.LittleEndian.AppendUint32(body, uint32(len(frame)))
	body = binary.LittleEndian.AppendUint32(body, uint32(length))
	return f.block(blockPacket, append(body, frame...))
}

// end says how many packets came too fast to be recorded.
func (f *file) end(at time.Time, dropped uint32) error {
	now := uint64(at.UnixNano())
	body := binary.LittleEndian.AppendUint32(nil, 0)
	body = binary.LittleEndian.AppendUint32(body, uint32(now>>32))
	body = binary.LittleEndian.AppendUint32(body, uint32(now))
	body = option(body, optDropped, binary.LittleEndian.AppendUint64(nil, uint64(dropped)))
	return f.block(blockStats, append(body, 0, 0, 0, 0))
}
