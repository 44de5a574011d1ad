package mp4

import (
	"encoding/binary"
	"io"
)

// box is one of those that a file is made of (ISO/IEC 14496-12 §4.2): fields, then others.
type box struct {
	name  string
	body  []byte
	more  []byte // of the body: a table that is as long as the file
	parts []box
}

// boxHead is the size of a box's size and name.
const boxHead = 8

func (b *box) size() int64 {
	n := int64(boxHead + len(b.body) + len(b.more))
	for i := range b.parts {
		n += b.parts[i].size()
	}
	return n
}

// write writes the box. It is shorter than 4 GB: tables of a day's sound and pictures are.
func (b *box) write(w io.Writer) error {
	head := append(binary.BigEndian.AppendUint32(nil, uint32(b.size())), b.name...)
	for _, part := range [][]byte{append(head, b.body...), b.more} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	for i := range b.parts {
		if err := b.parts[i].write(w); err != nil {
			return err
		}
	}
	return nil
}

// of returns a box that holds others.
func of(name string, parts ...box) box { return box{name: name, parts: parts} }

// table returns a box with a version, flags and a number of entries.
func table(name string, count uint32, entries []byte) box {
	return box{name: name, body: new(fields).u32(0).u32(count).data, more: entries}
}

// fields is the body of a box, in the order of the network.
type fields struct{ data []byte }

func (f *fields) u8(v byte) *fields {
	f.data = append(f.data, v)
	return f
}

func (f *fields) u16(v uint16) *fields {
	f.data = binary.BigEndian.AppendUint16(f.data, v)
	return f
}

func (f *fields) u32(v uint32) *fields {
	f.data = binary.BigEndian.AppendUint32(f.data, v)
	return f
}

func (f *fields) u64(v uint64) *fields {
	f.data = binary.BigEndian.AppendUint64(f.data, v)
	return f
}

func (f *fields) text(s string) *fields {
	f.data = append(f.data, s...)
	return f
}

func (f *fields) zero(n int) *fields {
	f.data = append(f.data, make([]byte, n)...)
	return f
}

// matrix appends the one that turns and moves nothing.
func (f *fields) matrix() *fields {
	return f.u32(1 << 16).zero(12).u32(1 << 16).zero(12).u32(1 << 30)
}
