package registrar

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/journal"
	"github.com/coraltele/sanchar/pkg/record"
)

// Frames of the journal: a whole binding, a refresh, a removal, and an end with nothing missing.
const (
	frameSet     = 'S'
	frameRefresh = 'R'
	frameDrop    = 'D'
	frameClean   = 'C'
)

func (b *Binding) appendSet(dst []byte) []byte {
	data, err := json.Marshal(b)
	if err != nil {
		return dst // a struct of texts and numbers always encodes
	}
	return append(append(dst, frameSet), data...)
}

func (b *Binding) appendRefresh(dst []byte) []byte {
	dst = append(dst, frameRefresh)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(b.Refreshed.UnixMilli()))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(b.Expires.UnixMilli()))
	dst = binary.LittleEndian.AppendUint64(dst, b.Refreshes)
	dst = binary.LittleEndian.AppendUint32(dst, b.CSeq)
	dst = append(append(dst, byte(len(b.ID))), b.ID...)
	return append(dst, b.CallID...)
}

func (b *Binding) appendDrop(dst []byte, at time.Time, why string) []byte {
	dst = append(dst, frameDrop)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(at.UnixMilli()))
	dst = append(append(dst, byte(len(b.ID))), b.ID...)
	return append(dst, why...)
}

// Bytes of a frame before its texts.
const (
	refreshHead = 1 + 8 + 8 + 8 + 4 + 1
	dropHead    = 1 + 8 + 1
)

var errFrame = errors.New("unknown frame")

// replayed is what the journal says, frame by frame.
type replayed struct {
	byID   map[string]*Binding
	asleep map[string]*Binding
	ended  []ended
	latest time.Time // of what it tells
	clean  bool      // the last frame said that nothing is missing
}

// ended is a stay that is over.
type ended struct {
	binding *Binding
	at      time.Time
	why     string
}

func (r *replayed) frame(frame []byte) error {
	r.clean = frame[0] == frameClean
	switch frame[0] {
	case frameClean:
		r.ended = nil
		return nil
	case frameSet:
		return r.set(frame)
	case frameDrop:
		return r.drop(frame)
	case frameRefresh:
		return r.refresh(frame)
	}
	return errFrame
}

func (r *replayed) set(frame []byte) error {
	b := new(Binding)
	if err := json.Unmarshal(frame[1:], b); err != nil {
		return err
	}
	if old := r.byID[b.ID]; old != nil && old.RecordID != b.RecordID {
		r.ended = append(r.ended, ended{old, b.First, record.RegMoved})
	}
	r.byID[b.ID] = b
	delete(r.asleep, b.ID)
	r.note(b.Refreshed)
	return nil
}

func (r *replayed) drop(frame []byte) error {
	if len(frame) < dropHead || len(frame) < dropHead+int(frame[dropHead-1]) {
		return errFrame
	}
	id := frame[dropHead:][:frame[dropHead-1]]
	b := r.byID[string(id)]
	if b == nil {
		delete(r.asleep, string(id)) // it was asleep, and can't be woken any more
		return nil
	}
	at := time.UnixMilli(int64(binary.LittleEndian.Uint64(frame[1:]))).UTC()
	why := string(frame[dropHead+len(id):])
	r.ended = append(r.ended, ended{b, at, why})
	delete(r.byID, b.ID)
	if _, wakes := b.Push(); wakes && why == record.RegExpired {
		r.asleep[b.ID] = b
	}
	r.note(at)
	return nil
}

func (r *replayed) refresh(frame []byte) error {
	if len(frame) < refreshHead || len(frame) < refreshHead+int(frame[refreshHead-1]) {
		return errFrame
	}
	id := frame[refreshHead:][:frame[refreshHead-1]]
	b := r.byID[string(id)]
	if b == nil {
		return nil
	}
	b.Refreshed = time.UnixMilli(int64(binary.LittleEndian.Uint64(frame[1:]))).UTC()
	b.Expires = time.UnixMilli(int64(binary.LittleEndian.Uint64(frame[9:]))).UTC()
	b.Refreshes = binary.LittleEndian.Uint64(frame[17:])
	b.CSeq = binary.LittleEndian.Uint32(frame[25:])
	b.CallID = string(frame[refreshHead+len(id):])
	r.note(b.Refreshed)
	return nil
}

func (r *replayed) note(at time.Time) {
	if at.After(r.latest) {
		r.latest = at
	}
}

// makeGood gives devices what they were promised by refreshes that a crash has kept from the disk.
// Such a binding was alive when the disk was last written to, or a moment before; nobody knows which
// they are, so all those that were get their whole time anew.
func (r *replayed) makeGood(now time.Time) {
	if r.clean {
		return
	}
	for _, b := range r.byID {
		if whole := now.Add(time.Duration(b.Granted) * time.Second); b.Expires.After(r.latest.Add(-journal.LaterTime)) && b.Expires.Before(whole) {
			b.Expires = whole
		}
	}
}

// untold returns the records that a crash may have kept from the outbox: of all that happened in the
// journal's last moments. One that was told is the same record again.
func (r *replayed) untold() (all []record.Registration) {
	if r.clean {
		return nil
	}
	since := r.latest.Add(-journal.LaterTime)
	for _, e := range r.ended {
		if e.at.After(since) {
			all = append(all, e.binding.record(e.why, e.at))
		}
	}
	for _, b := range r.byID {
		if b.Refreshed.After(since) {
			all = append(all, b.record(record.RegActive, time.Time{}))
		}
	}
	return all
}
