package transcode

import (
	"math"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/media/sound"
	"github.com/coraltele/sanchar/pkg/rtp/dtmf"
	"github.com/coraltele/sanchar/pkg/rtp/header"
	"github.com/coraltele/sanchar/pkg/rtp/resample"
)

// Party is the stream that a line speaks to. It is used inside its loop only.
type Party interface {
	Send(p header.Packet) bool
	Sent() uint64 // packets to the party so far, of all who send
}

// Tell is what a line tells of itself. Its functions are called by the line's worker, outside of loops.
type Tell struct {
	Played func(id string)  // a sound has ended
	Dialed func()           // the last key was told
	Digit  func(key string) // the party that the line listens to pressed a key, told by tones
	Own    func(key string) // the party that the line speaks to did
}

// Line speaks to a party: what another party says, what the box plays, keys. It is a job of a worker.
type Line struct {
	party Party
	tell  Tell

	mu   sync.Mutex // guards what follows: what verbs have ordered and the worker has not taken yet
	next orders

	// Of the worker.
	mouth  *mouth
	ear    *Ear
	own    *Ear // of the party itself, for its keys only
	player *sound.Player
	playID string
	beep   *sound.Player
	narrow *resample.Resampler // of sounds, if the line is narrower
	tones  *dtmf.Generator
	keys   *dtmf.Receiver // of a party whose keys are made tones
	tone   int            // frames that a tone of the box's own lasts
	gap    int            // frames until the next key
	dialed bool           // keys are being told that Dialed is owed for
	at     int64          // time of the next frame
	frame  []int16
	wide   []int16
	heard  []int16

	// Of the loop.
	closed  bool
	comfort bool   // it speaks only as long as nobody else does
	before  uint64 // packets to the party when it last sent
}

// orders is what a worker takes at its next turn.
type orders struct {
	mouth   *mouth
	ear     *Ear
	hasEar  bool // also when ear is nil
	own     *Ear
	hasOwn  bool
	player  *sound.Player
	playID  string
	hasPlay bool
	beep    *sound.Player
	press   []press
}

// NewLine returns a line that speaks so to a party: silence, until it is told what.
func NewLine(party Party, out Out, tell Tell) (*Line, error) {
	l := &Line{party: party, tell: tell}
	return l, l.SetOut(out)
}

// SetOut changes how the line speaks. The party hears no break.
func (l *Line) SetOut(out Out) error {
	m, err := newMouth(out)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next.mouth = m
	return nil
}

// SetEar makes the line speak what another party says, or not any more if ear is nil.
func (l *Line) SetEar(ear *Ear) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next.ear, l.next.hasEar = ear, true
}

// SetOwn makes the line listen for keys that its own party tells by tones, or not any more if ear is nil.
func (l *Line) SetOwn(ear *Ear) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next.own, l.next.hasOwn = ear, true
}

// Play makes the line play instead, until Played is told, or end what it plays if p is nil.
func (l *Line) Play(p *sound.Player, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next.player, l.next.playID, l.next.hasPlay = p, id, true
}

// Beep mixes a sound into what the line speaks.
func (l *Line) Beep(p *sound.Player) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next.beep = p
}

// Dial tells keys to the party, each for a time, as it takes them.
func (l *Line) Dial(keys []dtmf.Event, length time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range keys {
		l.next.press = append(l.next.press, press{k, length})
	}
}

// SetComfort says whether the line is to fall silent when somebody else speaks. It is called inside the
// loop.
func (l *Line) SetComfort(comfort bool) {
	l.comfort, l.before = comfort, l.party.Sent()
}

// Close ends the line. It is called inside the loop.
func (l *Line) Close() { l.closed = true }

// maxFrames are made at one turn; a worker that was later leaves out the rest.
const maxFrames = 5

// Work makes the frames up to now.
func (l *Line) Work(now int64) {
	l.take()
	if l.at == 0 || now-l.at > maxFrames*int64(frameTime) {
		l.at = now
	}
	for ; l.at <= now; l.at += int64(frameTime) {
		l.speak(now)
	}
}

// take takes the orders.
func (l *Line) take() {
	l.mu.Lock()
	o := l.next
	l.next = orders{}
	l.mu.Unlock()
	if o.mouth != nil {
		l.setMouth(o.mouth)
	}
	if o.hasEar {
		l.ear = o.ear
	}
	if o.hasOwn {
		l.own = o.own
	}
	if l.own != nil && (o.hasOwn || o.mouth != nil) {
		l.own.begin(l.mouth.way.rate, func(p dtmf.Press) {
			if !p.Ended {
				l.tell.Own(p.Event.String())
			}
		})
	}
	if l.ear != nil && (o.hasEar || o.mouth != nil) {
		var pressed func(dtmf.Press)
		if !l.ear.hasKeys() {
			pressed = l.pressed
		}
		l.ear.begin(l.mouth.way.rate, pressed)
	}
	if o.hasPlay {
		l.player, l.playID = o.player, o.playID
	}
	if o.beep != nil {
		l.beep = o.beep
	}
	if len(o.press) > 0 {
		l.mouth.events.queue, l.dialed = append(l.mouth.events.queue, o.press...), true
	}
}

func (l *Line) setMouth(m *mouth) {
	if l.mouth != nil {
		m.events.queue = l.mouth.events.queue
		m.follow(l.mouth)
	}
	l.mouth = m
	rate := m.way.rate
	l.frame, l.heard = make([]int16, rate/50), make([]int16, rate/50)
	l.tones = dtmf.NewGenerator(rate)
	l.wide, l.narrow = make([]int16, sound.Rate/50), nil
	if rate != sound.Rate {
		l.narrow, _ = resample.New(sound.Rate, rate) // both are rates of codecs
	}
}

// speak makes a frame.
func (l *Line) speak(now int64) {
	m := l.mouth
	if l.own != nil {
		l.own.drain(func(header.Packet, []byte, uint32, int64) {}) // it tells no events
		l.own.read(l.heard, l.at)
	}
	clear(l.frame)
	if l.ear != nil {
		l.ear.drain(l.event)
		l.ear.read(l.frame, l.at)
	}
	if l.keys != nil {
		l.keys.Idle(time.Duration(now))
	}
	if l.player != nil {
		if l.sound(l.player, l.heard) {
			copy(l.frame, l.heard)
		} else {
			l.player = nil
			l.tell.Played(l.playID)
		}
	}
	if l.beep != nil {
		if !l.sound(l.beep, l.heard) {
			l.beep = nil
		} else {
			add(l.frame, l.heard)
		}
	}
	switch {
	case m.events.sender != nil && (m.tell(&l.gap) || m.carrying()):
		m.pause()
	case m.events.sender == nil:
		l.dialTones()
		fallthrough
	default:
		m.speak(l.frame)
	}
	if l.dialed && len(m.events.queue) == 0 && l.tone == 0 && (m.events.sender == nil || !m.events.sender.Active()) {
		l.dialed = false
		l.tell.Dialed()
	}
}

// sound makes a frame of a player at the rate of the line. It reports false when it has ended.
func (l *Line) sound(p *sound.Player, frame []int16) bool {
	if l.narrow == nil {
		return p.Read(frame)
	}
	more := p.Read(l.wide)
	if n := l.narrow.Resample(frame, l.wide); n < len(frame) {
		clear(frame[n:])
	}
	return more
}

func add(frame, more []int16) {
	for i, v := range more {
		frame[i] = int16(min(max(int(frame[i])+int(v), math.MinInt16), math.MaxInt16))
	}
}

// event takes a packet of telephone events of the party that the line listens to.
func (l *Line) event(p header.Packet, payload []byte, clock uint32, now int64) {
	if l.player != nil {
		return // who plays to the party hears the keys; the party does not
	}
	if l.mouth.events.sender == nil {
		if l.keys == nil {
			l.keys = dtmf.NewReceiver(clock, l.toned)
		}
		l.keys.Packet(p.Timestamp(), payload, time.Duration(now))
		return
	}
	if e, ok := dtmf.Parse(payload); ok {
		l.mouth.carry(p, e, clock)
	}
}

// toned makes tones of a key that was told by an event.
func (l *Line) toned(p dtmf.Press) {
	if p.Ended {
		l.tones.Release()
		l.tone = 1 // it fades
		return
	}
	l.tones.Press(p.Event)
	l.tone = math.MaxInt
}

// pressed tells a key that was found in speech.
func (l *Line) pressed(p dtmf.Press) {
	if p.Ended {
		return
	}
	l.tell.Digit(p.Event.String())
	if l.mouth.events.sender != nil && l.player == nil {
		l.mouth.events.queue = append(l.mouth.events.queue, press{p.Event, usualPress})
	}
}

// usualPress is how long a key is told whose end is not known.
const usualPress = 100 * time.Millisecond

// dialTones puts the tones of keys in place of speech.
func (l *Line) dialTones() {
	if l.tone == 0 && l.gap > 0 {
		l.gap--
	} else if q := l.mouth.events.queue; l.tone == 0 && len(q) > 0 {
		l.tones.Press(q[0].key)
		l.tone = int(max(q[0].length, dtmf.MinPress)/frameTime) + 1
		l.mouth.events.queue = q[1:]
	}
	switch {
	case l.tone == 0:
		return
	case l.tone == 1:
		l.tones.Release()
		l.gap = gapFrames
	}
	l.tones.Fill(l.frame)
	if l.tone != math.MaxInt {
		l.tone--
	}
}

// Send sends what was made. It is called inside the loop.
func (l *Line) Send(int64) bool {
	if l.closed {
		return false
	}
	if l.comfort {
		if others := l.party.Sent() - l.before; others > 0 {
			l.closed = true
			return false
		}
	}
	l.mouth.send(l.party.Send)
	l.before = l.party.Sent()
	return true
}

// Closed reports whether the line has ended. It is called inside the loop.
func (l *Line) Closed() bool { return l.closed }
