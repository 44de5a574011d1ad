package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/coraltele/sanchar/pkg/record"
)

// A frame holds one envelope: format, then id and kind each behind its length, version, data to
// the end. The data is not encoded again: JSON in JSON would be checked and copied at each step.
const frameFormat = 1

// Limits of one record. A call with 64 legs and their streams is about 60 KB.
const (
	maxName = 64        // bytes of an id or a kind
	maxData = 256 << 10 // bytes of data
)

func checkEnvelope(e record.Envelope) error {
	switch {
	case e.ID == "" || len(e.ID) > maxName:
		return fmt.Errorf("record id of %d bytes: not between 1 and %d", len(e.ID), maxName)
	case e.Kind == "" || len(e.Kind) > maxName:
		return fmt.Errorf("record %s: kind of %d bytes: not between 1 and %d", e.ID, len(e.Kind), maxName)
	case e.Version < 0:
		return fmt.Errorf("record %s: version %d: negative", e.ID, e.Version)
	case len(e.Data) > maxData:
		return fmt.Errorf("record %s: %d bytes: more than %d", e.ID, len(e.Data), maxData)
	}
	return nil
}

func encode(e record.Envelope) []byte {
	b := make([]byte, 0, 1+2+len(e.ID)+2+len(e.Kind)+binary.MaxVarintLen64+len(e.Data))
	b = append(b, frameFormat)
	b = appendString(b, e.ID)
	b = appendString(b, string(e.Kind))
	b = binary.AppendUvarint(b, uint64(e.Version))
	return append(b, e.Data...)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

var errFrame = errors.New("not a record of the outbox")

// decode reads a frame. The envelope's data is a part of payload.
func decode(payload []byte) (e record.Envelope, err error) {
	if len(payload) == 0 || payload[0] != frameFormat {
		return e, errFrame
	}
	id, rest, ok := cutString(payload[1:])
	if !ok {
		return e, errFrame
	}
	kind, rest, ok := cutString(rest)
	if !ok {
		return e, errFrame
	}
	version, n := binary.Uvarint(rest)
	if n <= 0 || version > 1<<31-1 {
		return e, errFrame
	}
	e = record.Envelope{ID: id, Kind: record.Kind(kind), Version: int(version), Data: rest[n:]}
	return e, checkEnvelope(e)
}

func cutString(b []byte) (s string, rest []byte, ok bool) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > maxName || uint64(len(b)-used) < n {
		return "", nil, false
	}
	end := used + int(n)
	return string(b[used:end]), b[end:], true
}
