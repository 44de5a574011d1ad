// Package session holds the sessions: which legs a call has, what their parties said, and who hears
// whom. Its verbs are Offer, Answer, Update and Close; what they decide, the relay carries out.
package session

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/ice"
	"github.com/coraltele/sanchar/pkg/media/offload"
	"github.com/coraltele/sanchar/pkg/media/port"
	"github.com/coraltele/sanchar/pkg/media/quality"
	"github.com/coraltele/sanchar/pkg/media/recorder"
	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/media/secure/handshake"
	"github.com/coraltele/sanchar/pkg/media/session/snapshot"
	"github.com/coraltele/sanchar/pkg/media/sound"
	"github.com/coraltele/sanchar/pkg/media/transcode"
	"github.com/coraltele/sanchar/pkg/media/work"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/rtp/tone"
)

// Limits. The caller is our own switch: they stop a runaway, and keep a record in one piece.
const (
	maxSessions = 10000 // twice what the default range of ports has room for
	maxLegs     = 16    // of a session: a fork of many branches
	maxStreams  = 8     // of a leg: m-lines of a video conference
	maxFormats  = 64    // of a stream: payload types there are to give away
	maxID       = 200   // bytes
)

// fillFirst is how many streams a loop takes before the next one gets any: a sleeping loop costs
// nothing, two that wake for half the packets each cost twice the wake-ups. It is a fifth of what one
// core can carry.
const fillFirst = 1000

// Config of a table.
type Config struct {
	Voice, Video uint8 // DSCP
	Tones        tone.Plan
}

// Table holds the sessions.
type Table struct {
	cfg    Config
	ports  *port.Pool
	loops  []*relay.Loop
	tell   func(ctl.MediaEvent) // must not block
	log    *slog.Logger
	deck   *recorder.Deck // nil: nothing is recorded
	work   *work.Pool     // nil: the box speaks to nobody
	sounds *sound.Library // nil: it plays nothing
	busy   chan struct{}  // holds a token when the first session came

	identity *handshake.Identity
	life     context.Context // of handshakes
	die      context.CancelFunc
	shakes   sync.WaitGroup

	mu        sync.Mutex // guards what follows; held while a loop does what was decided, some 50 µs
	sessions  map[string]*session
	area      *snapshot.Area
	load      map[*relay.Loop]int // streams
	keys      map[*relay.Loop]*transcode.Keys
	carried   map[string]carried // by session and leg
	parts     [beats]map[*session]struct{}
	nextPart  int
	kernel    offload.Path   // nil: all media comes to the sockets
	questions []offload.Flow // whose routes are to be found
	fixed     []byte         // for records
	buffer    []byte         // for their states
}

// Deps are what a table works with.
type Deps struct {
	Ports  *port.Pool
	Loops  []*relay.Loop
	Area   *snapshot.Area
	Tell   func(ctl.MediaEvent)
	Log    *slog.Logger
	Deck   *recorder.Deck // these may be nil
	Work   *work.Pool
	Sounds *sound.Library
	// Identity is the box's certificate for media; nil makes one for the life of this process.
	Identity *handshake.Identity
}

// New returns a table without sessions. Its loops must run while it is used.
func New(cfg Config, d Deps) (*Table, error) {
	if len(d.Loops) == 0 {
		return nil, errors.New("session table: no media loop")
	}
	t := &Table{
		cfg: cfg, ports: d.Ports, loops: d.Loops, area: d.Area, tell: d.Tell, log: d.Log, deck: d.Deck, work: d.Work, sounds: d.Sounds, keys: map[*relay.Loop]*transcode.Keys{},
		busy: make(chan struct{}, 1), sessions: map[string]*session{}, load: map[*relay.Loop]int{},
	}
	if t.identity = d.Identity; t.identity == nil {
		var err error
		if t.identity, err = handshake.NewIdentity(time.Now()); err != nil {
			return nil, err
		}
	}
	t.life, t.die = context.WithCancel(context.Background())
	d.Ports.OnClose(func(fd int) {
		for _, l := range t.loops {
			l.Forget(fd)
		}
	})
	for i := range t.parts {
		t.parts[i] = map[*session]struct{}{}
	}
	return t, nil
}

// session is one call.
type session struct {
	id                  string
	started             time.Time
	loop                *relay.Loop  // all streams are on one, so that its goroutine may touch them together
	part                int          // of the second in which it is looked after
	legs                []*leg       // in the order in which they came
	recordings, stopped []*recording // stopped: until their taps are off
	voices              map[*relay.Stream]*voice
	gone                []ctl.StreamStats
	record              snapshot.Record
}

// leg is one party.
type leg struct {
	id      string
	where   place
	ours    ctl.MediaTerms // what the box says on it
	streams []*stream
	with    *leg // who it talks with
}

// place is where a leg is.
type place struct {
	local  addr // of ours that it reaches
	source addr // where its signalling comes from
}

// stream is our end of one m-line of a leg.
type stream struct {
	kind  string
	said  *ctl.MediaStream // nil while the party has not spoken
	pair  *port.Pair       // nil if it rides on another's
	relay *relay.Stream    // nil until applied
	state relay.State      // as it was last looked at
	watch quality.Watch

	secrets    secrets
	handshakes [2]*shaking // on the RTP and the RTCP socket
	agent      *ice.Agent
	agentOf    string // whom the agent answers
	notice     notice

	route      relay.Route // as it was last set
	doctor     quality.Doctor
	video      video
	faults     []ctl.MediaFault
	tapped     bool              // it has sinks
	recorded   bool              // at some time
	transcoded string            // "opus>PCMU", at some time
	taped      []ctl.MediaFormat // that recordings know the party to send
}

func (s *session) leg(id string) *leg {
	i := slices.IndexFunc(s.legs, func(l *leg) bool { return l.id == id })
	if i < 0 {
		return nil
	}
	return s.legs[i]
}

// streams calls each for every stream.
func (s *session) streams(each func(l *leg, i int, st *stream)) {
	for _, l := range s.legs {
		for i, st := range l.streams {
			each(l, i, st)
		}
	}
}

// other returns the stream that l's stream i talks with, if there is one.
func (l *leg) other(i int) *stream {
	if l.with == nil || i >= len(l.with.streams) {
		return nil
	}
	return l.with.streams[i]
}

// flows reports whether media goes from one stream to another: the one sends, the other receives
// (RFC 3264 §6.1).
func flows(from, to *stream) bool {
	return from != nil && to != nil && wants(from.said) && wants(to.said) && sends(from.said.Direction) && receives(to.said.Direction)
}

// wants reports whether a party takes part in a stream at all: a port of 0 refuses it (RFC 3264 §6).
func wants(said *ctl.MediaStream) bool {
	return said != nil && said.RTP.IsValid() && said.RTP.Port() != 0
}

func sends(d ctl.Direction) bool {
	return d == "" || d == ctl.SendRecv || d == ctl.SendOnly
}

func receives(d ctl.Direction) bool {
	return d == "" || d == ctl.SendRecv || d == ctl.RecvOnly
}

// dscp is the mark of a kind of media.
func (t *Table) dscp(kind string) uint8 {
	if strings.EqualFold(kind, "video") {
		return t.cfg.Video
	}
	return t.cfg.Voice // fax is speech to the network: it must not wait either
}

// chooseLocked returns the loop for a new session.
func (t *Table) chooseLocked() *relay.Loop {
	best := t.loops[0]
	for _, l := range t.loops {
		switch load := t.load[l]; {
		case load < fillFirst:
			return l
		case load < t.load[best]:
			best = l
		}
	}
	return best
}

// findLocked returns a session, or the problem that it does not exist.
func (t *Table) findLocked(id string) (*session, error) {
	if s := t.sessions[id]; s != nil {
		return s, nil
	}
	return nil, problem.New(problem.Missing, "media.session.missing", "there is no media session "+short(id),
		"offer it first; a session ends with its call and when mediad had to start empty")
}

func (t *Table) addLocked(s *session) {
	t.sessions[s.id] = s
	s.part = t.nextPart
	t.nextPart = (t.nextPart + 1) % beats
	t.parts[s.part][s] = struct{}{}
	if len(t.sessions) == 1 {
		select {
		case t.busy <- struct{}{}:
		default:
		}
	}
}

func (t *Table) removeLocked(s *session) {
	t.hushLocked(s)
	delete(t.sessions, s.id)
	delete(t.parts[s.part], s)
	t.area.Free(s.record)
}

// short cuts what a caller wrote to what a text can bear.
func short(id string) string {
	if len(id) > 64 {
		return id[:64] + "..."
	}
	return id
}

// clock returns how times of the relay's clock read as times of day, given one moment in both.
func clock(now int64) quality.Clock {
	wall := time.Now()
	return func(at int64) time.Time {
		if at == 0 {
			return time.Time{}
		}
		return wall.Add(time.Duration(at - now)).Round(time.Millisecond)
	}
}

// Run looks after the sessions until ctx ends.
func (t *Table) Run(ctx context.Context) error {
	defer t.shakes.Wait()
	defer t.die()
	timer := time.NewTimer(idleBeat)
	defer timer.Stop()
	for part := 0; ; part = (part + 1) % beats {
		select {
		case <-ctx.Done():
			return nil
		case <-t.busy:
		case <-timer.C:
		}
		if err := t.beat(part); err != nil && !errors.Is(err, relay.ErrClosed) {
			t.log.Warn("media sessions could not be looked after", "err", err)
		}
		t.findRoutes()
		timer.Reset(t.pause())
	}
}
