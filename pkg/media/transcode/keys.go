package transcode

import (
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/media/tap"
	"github.com/coraltele/sanchar/pkg/rtp/dtmf"
	"github.com/coraltele/sanchar/pkg/rtp/header"
)

// keysRing holds 300 packets of events: of all calls of a loop between two turns.
const keysRing = 16 << 10

// Keys tells which keys the parties of a loop press, by the events that they send. It is a job of a worker
// while it has taps.
type Keys struct {
	ring *tap.Ring

	mu     sync.Mutex // guards what follows
	works  bool       // a worker has it
	nextID uint32
	heard  map[uint32]*KeyTap
}

// KeyTap is the sink for the events of a stream.
type KeyTap struct {
	keys     *Keys
	id       uint32
	receiver *dtmf.Receiver
	ssrc     uint32
}

// NewKeys returns a job that tells keys.
func NewKeys() (*Keys, error) {
	ring, err := tap.New(keysRing)
	return &Keys{ring: ring, heard: map[uint32]*KeyTap{}}, err
}

// Tap returns the sink of a stream whose events are of this clock. tell is called when a key goes down, by
// a worker.
func (k *Keys) Tap(clock uint32, tell func(key string)) *KeyTap {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.nextID++
	t := &KeyTap{keys: k, id: k.nextID}
	t.receiver = dtmf.NewReceiver(clock, func(p dtmf.Press) {
		if !p.Ended {
			tell(p.Event.String())
		}
	})
	k.heard[t.id] = t
	return t
}

// Start reports whether the job must be given to a worker, because it has none.
func (k *Keys) Start() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	start := !k.works
	k.works = true
	return start
}

// Release says that no stream has the tap any more.
func (t *KeyTap) Release() {
	t.keys.mu.Lock()
	defer t.keys.mu.Unlock()
	delete(t.keys.heard, t.id)
}

// Hear puts an event into the ring.
func (t *KeyTap) Hear(p header.Packet, now int64) { t.keys.ring.Put(t.id, now, p) }

// Work tells the keys that were pressed.
func (k *Keys) Work(now int64) {
	for {
		e, ok := k.ring.Next()
		if !ok {
			break
		}
		k.mu.Lock()
		t := k.heard[e.Tag]
		k.mu.Unlock()
		if p := header.Packet(e.Packet); t != nil {
			if t.ssrc != p.SSRC() {
				t.ssrc = p.SSRC()
				t.receiver.Reset()
			}
			t.receiver.Packet(p.Timestamp(), p.Payload(), time.Duration(e.Time))
		}
		k.ring.Free(e)
	}
}

// Send sends nothing. The job is over when it has no taps: a box without calls sleeps.
func (k *Keys) Send(int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.works = len(k.heard) > 0
	return k.works
}
