package reel

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/seal"
)

// Kind is what an entry says.
type Kind uint8

// The kinds of entries.
const (
	KindPacket Kind = iota + 1 // Data is an RTP packet
	KindAbout                  // Data is an About
	KindTrack                  // Data is a Track
	KindPause                  // nothing is kept from Time on
	KindResume
)

// Entry is one thing that a reel says, in the order in which it was written. Packets of one track are in
// the order in which they came; other entries may stand before packets that are older.
type Entry struct {
	Kind  Kind
	Track uint8
	Time  int64 // of the relay's clock
	Data  []byte
}

// About is what a recording is of.
type About struct {
	ID      string            `json:"id"`
	Session string            `json:"session"`
	Format  string            `json:"format"`
	Video   bool              `json:"video,omitempty"`
	Wall    time.Time         `json:"wall"` // the time of day at the time of its entry
	Labels  map[string]string `json:"labels,omitempty"`
}

// Track is a stream that is recorded.
type Track struct {
	Leg     string   `json:"leg"`
	Channel uint8    `json:"channel"`
	Kind    string   `json:"kind"`
	Formats []Format `json:"formats"`
}

// Format is a payload type of a track.
type Format struct {
	PayloadType uint8  `json:"pt"`
	Encoding    string `json:"enc"`
	ClockRate   uint32 `json:"rate"`
	Channels    uint8  `json:"ch,omitempty"`
	Params      string `json:"params,omitempty"`
}

// An entry on disk: kind, track, length (2 bytes), time (8 bytes), data.
const entryHead = 12

// MaxData is the longest data of an entry.
const MaxData = 1<<16 - 1

// Append appends an entry to block. Data that is too long is a fault of the caller.
func Append(block []byte, e Entry) []byte {
	block = append(block, byte(e.Kind), e.Track)
	block = binary.BigEndian.AppendUint16(block, uint16(len(e.Data)))
	block = binary.BigEndian.AppendUint64(block, uint64(e.Time))
	return append(block, e.Data...)
}

// AppendJSON appends an entry whose data is v.
func AppendJSON(block []byte, e Entry, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return block, err
	}
	if len(data) > MaxData {
		return block, fmt.Errorf("an entry of %d bytes: more than %d", len(data), MaxData)
	}
	e.Data = data
	return Append(block, e), nil
}

// Reader reads the entries of a reel.
type Reader struct {
	r    *bufio.Reader
	data []byte
}

// NewReader opens a reel of owner.
func NewReader(r io.Reader, key *seal.Key, owner []byte) (*Reader, error) {
	file, err := NewOpener(r, key, owner)
	if err != nil {
		return nil, err
	}
	return &Reader{r: bufio.NewReader(file)}, nil
}

// Next returns the next entry, whose data is the Reader's until the call after. It returns io.EOF at the
// end and ErrDamaged where the reel is torn.
func (r *Reader) Next() (Entry, error) {
	var head [entryHead]byte
	if _, err := io.ReadFull(r.r, head[:]); err == io.EOF {
		return Entry{}, io.EOF
	} else if err != nil {
		return Entry{}, torn(err)
	}
	n := int(binary.BigEndian.Uint16(head[2:]))
	if cap(r.data) < n {
		r.data = make([]byte, MaxData)
	}
	r.data = r.data[:n]
	if _, err := io.ReadFull(r.r, r.data); err != nil {
		return Entry{}, torn(err)
	}
	return Entry{Kind: Kind(head[0]), Track: head[1], Time: int64(binary.BigEndian.Uint64(head[4:])), Data: r.data}, nil
}
