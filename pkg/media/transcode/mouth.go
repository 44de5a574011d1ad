package transcode

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/coraltele/sanchar/pkg/rtp/dtmf"
	"github.com/coraltele/sanchar/pkg/rtp/header"
)

// maxPayload is the longest payload that we make, but for a safety: 60 ms of G.711 are 480 bytes.
const maxPayload = 1500

// mouth makes the packets of one voice: with an SSRC, numbers and times of its own (RFC 3550 §5.1).
type mouth struct {
	out     Out
	way     way
	enc     encoder
	pcm     []int16 // of the packet that is not full yet
	payload [maxPayload]byte
	room    int // samples of a packet
	ssrc    uint32
	seq     uint16
	time    uint32 // of the next frame, in ticks of the clock
	begin   bool   // the next packet begins a talk spurt (RFC 3551 §4.1)
	queue   []byte // packets that wait to be sent, each after its length (2 bytes)
	events  keySender
}

// newMouth returns a mouth that begins with a random SSRC, number and time.
func newMouth(out Out) (*mouth, error) {
	w, ok := wayOf(&out.Voice)
	if !ok {
		return nil, errFormat(&out.Voice)
	}
	enc, err := newEncoder(&out.Voice, out.Ptime)
	if err != nil {
		return nil, err
	}
	m := &mouth{
		out: out, way: w, enc: enc, room: int(out.Ptime * time.Duration(w.rate) / time.Second),
		ssrc: rand.Uint32(), seq: uint16(rand.Uint32()) >> 1, time: rand.Uint32(), begin: true,
	}
	m.pcm = make([]int16, 0, m.room)
	m.queue = make([]byte, 0, 4*maxPayload)
	m.events = newKeySender(out)
	return m, nil
}

// follow goes on where another mouth of the same party ended, so that its jitter buffer sees no break.
func (m *mouth) follow(old *mouth) {
	m.seq, m.queue = old.seq, old.queue
	if m.way.clock == old.way.clock { // RFC 7160 §4.1: another clock is another source
		m.ssrc, m.time = old.ssrc, old.time
	}
}

func (m *mouth) ticks(d time.Duration) uint32 {
	return uint32(uint64(d) * uint64(m.way.clock) / uint64(time.Second))
}

// speak takes a frame.
func (m *mouth) speak(frame []int16) {
	m.pcm = append(m.pcm, frame...)
	if len(m.pcm) < m.room {
		return
	}
	n := m.enc.encode(m.payload[:], m.pcm)
	if n > 0 {
		m.put(m.out.Voice.PayloadType, m.begin, m.time, m.payload[:n])
		m.begin = false
	}
	m.time += m.ticks(m.out.Ptime)
	m.pcm = m.pcm[:0]
}

// pause lets the time of a frame pass in silence: keys are told meanwhile.
func (m *mouth) pause() {
	if len(m.pcm) > 0 { // the part of a packet is spoken, filled up
		m.speak(make([]int16, m.room-len(m.pcm)))
	}
	m.time += m.ticks(frameTime)
	m.begin = true
}

// put queues a packet.
func (m *mouth) put(pt uint8, marker bool, timestamp uint32, payload []byte) {
	if marker {
		pt |= 0x80
	}
	q := binary.BigEndian.AppendUint16(m.queue, uint16(header.Size+len(payload)))
	q = append(q, 0x80, pt)
	q = binary.BigEndian.AppendUint16(q, m.seq)
	q = binary.BigEndian.AppendUint32(q, timestamp)
	q = binary.BigEndian.AppendUint32(q, m.ssrc)
	m.queue = append(q, payload...)
	m.seq++
}

// send gives the queued packets away and returns how many.
func (m *mouth) send(to func(header.Packet) bool) (n int) {
	for q := m.queue; len(q) > 0; n++ {
		size := 2 + int(binary.BigEndian.Uint16(q))
		to(header.Packet(q[2:size]))
		q = q[size:]
	}
	m.queue = m.queue[:0]
	return n
}

// keySender tells key presses to a party as events of its clock.
type keySender struct {
	sender *dtmf.Sender // nil: the party takes none
	queue  []press      // not begun yet

	// Of an event that another party sends.
	from, to uint32 // its timestamp there, and here
	active   bool
	quiet    int // frames without a packet of it
}

// press is a key to be told.
type press struct {
	key    dtmf.Event
	length time.Duration
}

func newKeySender(out Out) keySender {
	if out.Keys < 0 {
		return keySender{}
	}
	return keySender{sender: dtmf.NewSender(out.Clock, frameTime)}
}

// gap between two keys that the box presses: as long as ITU-T Q.24 lets a receiver ask for, and more.
const gapFrames = 4

// tell sends what there is to be told of the box's own keys in this frame. It reports whether it did.
func (m *mouth) tell(gap *int) bool {
	k := &m.events
	if !k.sender.Active() {
		switch {
		case *gap > 0:
			*gap--
			return false
		case len(k.queue) == 0:
			return false
		}
		k.sender.Press(k.queue[0].key, m.keyTime(), k.queue[0].length)
		k.queue = k.queue[1:]
	}
	p, ok := k.sender.Next()
	if !ok {
		return false
	}
	m.putKey(p.Marker, p.Timestamp, p.Payload)
	if !k.sender.Active() {
		*gap = gapFrames
	}
	return true
}

// keyTime is the time now by the clock of events.
func (m *mouth) keyTime() uint32 {
	if m.out.Clock == m.way.clock {
		return m.time
	}
	return uint32(uint64(m.time) * uint64(m.out.Clock) / uint64(m.way.clock))
}

func (m *mouth) putKey(marker bool, timestamp uint32, payload dtmf.Payload) {
	var b [dtmf.PayloadSize]byte
	payload.Put(b[:])
	m.put(uint8(m.out.Keys), marker, timestamp, b[:])
}

// idleFrames without a packet end an event of another party whose last packets were lost.
const idleFrames = int(dtmf.Patience / frameTime)

// carry passes on a packet of an event, with its timing in the ticks of the party's clock
// (RFC 4733 §2.3.5).
func (m *mouth) carry(p header.Packet, payload dtmf.Payload, clock uint32) {
	k := &m.events
	if !k.active || k.from != p.Timestamp() {
		k.active, k.from, k.to = true, p.Timestamp(), m.keyTime()
	}
	k.quiet = 0
	payload.Duration = uint16(min(uint64(payload.Duration)*uint64(m.out.Clock)/uint64(max(clock, 1)), dtmf.MaxDuration))
	m.putKey(p.Marker(), k.to, payload)
	if payload.End {
		k.quiet = idleFrames - endFrames
	}
}

// endFrames is how long speech waits for the copies of the end.
const endFrames = 3

// carrying reports whether an event of another party goes on in this frame.
func (m *mouth) carrying() bool {
	k := &m.events
	if !k.active {
		return false
	}
	if k.quiet++; k.quiet >= idleFrames {
		k.active = false
	}
	return k.active
}
