package inbox

import (
	"bytes"
	"encoding/binary"
)

// Change is a message whose record is to be written.
type Change struct {
	Item *Item
	Wire *Wire
	Rev  uint64 // of the message, to tell whether it has changed since
}

// Changed returns messages whose records are to be written, from a number on, up to limit.
func (t *Tx) Changed(from uint64, limit int) (all []Change) {
	c := t.bucket(dirty).Cursor()
	for k, v := c.Seek(number(from)); k != nil && len(all) < limit && t.err == nil; k, v = c.Next() {
		if i := t.Item(binary.BigEndian.Uint64(k)); i != nil {
			all = append(all, Change{Item: i, Wire: t.Wire(i.Seq), Rev: binary.BigEndian.Uint64(v)})
		}
	}
	return all
}

// Written notes that a record is kept, unless its message has changed since.
func (t *Tx) Written(seq, rev uint64) {
	if bytes.Equal(t.bucket(dirty).Get(number(seq)), number(rev)) {
		t.drop(dirty, number(seq))
	}
}
