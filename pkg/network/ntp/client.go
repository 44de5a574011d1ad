package ntp

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/beevik/ntp"
)

const (
	firstPoll  = 8 * time.Second // until the clock is set
	minPoll    = 64 * time.Second
	maxPoll    = 1024 * time.Second // RFC 5905 §7.2: 2^6 to 2^10 s suit Internet sources
	askTime    = 2 * time.Second
	stepOver   = 128 * time.Millisecond // RFC 5905 §12: more is not slewed
	panicOver  = 1000 * time.Second     // RFC 5905 §12: more is not believed, once the clock was right
	kissWait   = time.Hour              // a source that wants to be asked less
	maxSources = 10

	msgSynced = "the clock follows its sources"
	msgLost   = "the clock has no source to follow"
	msgStep   = "the clock is set"
	msgPanic  = "sources want the clock far away, not followed"
	msgClock  = "the clock cannot be changed"
)

// Clock is the machine's.
type Clock interface {
	// Slew brings the clock to the right time little by little; Step sets it at once.
	Slew(offset time.Duration, uncertainty time.Duration) error
	Step(offset time.Duration) error
}

// Source is what is known of one source.
type Source struct {
	Name     string
	Addr     netip.Addr
	Stratum  int
	Offset   time.Duration // of our clock from it
	Delay    time.Duration // there and back
	Last     time.Time     // it answered
	Reach    uint8         // the last eight polls, the newest in bit 0
	Selected bool
	Fault    string // why it is not used
}

// State is how the clock is.
type State struct {
	Synced    bool
	Leap      int // RFC 5905 §7.3: 0 none, 1 and 2 a second more or less at the end of the day
	Stratum   int
	Offset    time.Duration // the last that was measured
	RootDelay time.Duration
	RootDisp  time.Duration // when Updated
	Updated   time.Time
	Reference [4]byte // of the source that is nearest
	Sources   []Source
}

// dispersionAt grows with the time that the clock goes by itself.
func (s State) dispersionAt(now time.Time) time.Duration {
	return s.RootDisp + time.Duration(float64(max(0, now.Sub(s.Updated)))*drift)
}

// Client follows sources.
type Client struct {
	names []string
	clock Clock // nil: the offset is measured only
	log   *slog.Logger
	state atomic.Pointer[State]
	query func(ctx context.Context, name string) (*ntp.Response, netip.Addr, error)

	// of the goroutine of Run
	samples []sample
	sources []Source
	resume  []time.Time // when a source may be asked again
	set     bool        // the clock was right once
}

// Lookup finds the addresses of a source.
type Lookup func(ctx context.Context, name string) ([]netip.Addr, error)

// NewClient returns a client of sources, which are names or addresses. Without a clock it changes none.
func NewClient(sources []string, lookup Lookup, clock Clock, log *slog.Logger) *Client {
	c := &Client{names: sources[:min(len(sources), maxSources)], clock: clock, log: log, query: lookup.ask}
	c.samples, c.sources = make([]sample, len(c.names)), make([]Source, len(c.names))
	c.resume = make([]time.Time, len(c.names))
	for i, name := range c.names {
		c.sources[i].Name = name
	}
	c.state.Store(&State{Leap: leapUnknown, Sources: slices.Clone(c.sources)})
	return c
}

// State returns how the clock is now.
func (c *Client) State() State {
	st := *c.state.Load()
	if st.Synced && st.dispersionAt(time.Now()) > maxHeld { // too long by itself
		st.Synced, st.Leap = false, leapUnknown
	}
	return st
}

// Run follows the sources until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	poll := firstPoll
	for {
		c.round(ctx)
		if ctx.Err() != nil {
			return nil
		}
		poll = c.next(poll)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(poll):
		}
	}
}

// next asks less often while all is well (RFC 5905 §13).
func (c *Client) next(poll time.Duration) time.Duration {
	if st := c.state.Load(); !st.Synced || st.Offset.Abs() > stepOver/2 {
		return firstPoll
	}
	return min(max(minPoll, poll*2), maxPoll)
}

// round asks all sources at once and does what they agree on.
func (c *Client) round(ctx context.Context) {
	var wg sync.WaitGroup
	now := time.Now()
	for i := range c.names {
		if now.Before(c.resume[i]) {
			continue
		}
		wg.Go(func() { c.poll(ctx, i) })
	}
	wg.Wait()
	if ctx.Err() == nil {
		c.follow(time.Now())
	}
}

// poll asks one source; each has its own places in the slices.
func (c *Client) poll(ctx context.Context, i int) {
	src := &c.sources[i]
	src.Reach <<= 1
	r, from, err := c.query(ctx, c.names[i])
	if err == nil {
		src.Addr, src.Stratum = from, int(r.Stratum)
		err = r.Validate() // RFC 5905 §8: bogus, unsynchronised or too far
	}
	if err != nil {
		src.Fault = plain(err)
		if r != nil && r.IsKissOfDeath() { // RFC 5905 §7.4
			c.resume[i] = time.Now().Add(kissWait)
			src.Fault = "it asks to be left alone: " + r.KissCode
		}
		return
	}
	src.Reach |= 1
	src.Fault, src.Last, src.Offset, src.Delay = "", time.Now().UTC(), r.ClockOffset, r.RTT
	c.samples[i] = sample{
		at: time.Now(), offset: r.ClockOffset, distance: r.RootDistance, delay: r.RootDelay + r.RTT,
		dispersion: r.RootDispersion, stratum: int(r.Stratum), leap: int(r.Leap), reference: referenceOf(from),
	}
}

// plain says what went wrong without addresses and ports.
func plain(err error) string {
	if nerr := net.Error(nil); errors.As(err, &nerr) && nerr.Timeout() {
		return "no answer"
	}
	return err.Error()
}

// follow does what the sources agree on.
func (c *Client) follow(now time.Time) {
	old := c.state.Load()
	offset, agree, ok := choose(c.samples, now)
	for i := range c.sources {
		c.sources[i].Selected = slices.Contains(agree, i)
	}
	st := *old
	st.Sources = slices.Clone(c.sources)
	fresh := slices.ContainsFunc(agree, func(i int) bool { return c.samples[i].at.After(old.Updated) })
	switch {
	case !ok:
		if old.Synced && c.State().Synced != old.Synced {
			c.log.Warn(msgLost)
		}
	case !fresh: // nothing new: the clock goes on by itself
	case c.set && offset.Abs() > panicOver:
		c.log.Error(msgPanic, "offset", offset)
	default:
		c.adjust(offset, agree, now, &st)
	}
	c.state.Store(&st)
}

// adjust brings the clock to where the sources are.
func (c *Client) adjust(offset time.Duration, agree []int, now time.Time, st *State) {
	best := slices.MinFunc(agree, func(a, b int) int {
		return int(c.samples[a].distanceAt(now) - c.samples[b].distanceAt(now))
	})
	s := c.samples[best]
	st.Offset, st.Updated, st.Stratum, st.Reference = offset, now.UTC(), s.stratum+1, s.reference
	st.RootDelay, st.RootDisp = s.delay, s.dispersion+offset.Abs()
	st.Leap = c.leapOf(agree)
	if !st.Synced {
		c.log.Info(msgSynced, "offset", offset, "sources", len(agree))
	}
	st.Synced, c.set = true, true
	if c.clock == nil {
		return
	}
	if err := c.move(offset, s.distanceAt(now)); err != nil {
		c.log.Error(msgClock, "err", err)
		return
	}
	if offset.Abs() > stepOver { // what was measured before is of another time
		st.RootDisp, st.Updated = s.dispersion, time.Now().UTC()
		clear(c.samples)
	}
}

func (c *Client) move(offset, uncertainty time.Duration) error {
	if offset.Abs() <= stepOver {
		return c.clock.Slew(offset, uncertainty)
	}
	c.log.Warn(msgStep, "offset", offset)
	return c.clock.Step(offset)
}

// leapOf is what more than half of the sources that agree say.
func (c *Client) leapOf(agree []int) int {
	votes := [4]int{}
	for _, i := range agree {
		votes[c.samples[i].leap&3]++
	}
	for leap := 1; leap <= 2; leap++ {
		if 2*votes[leap] > len(agree) {
			return leap
		}
	}
	return 0
}

// referenceOf is the address of an IPv4 source; of an IPv6 one the first bytes stand for it (RFC 5905
// §7.3 wants a hash: it only tells two sources apart).
func referenceOf(a netip.Addr) (id [4]byte) {
	if a = a.Unmap(); a.Is4() {
		return a.As4()
	}
	b := a.As16()
	for i := 0; i < len(b); i += 4 {
		binary.BigEndian.PutUint32(id[:], binary.BigEndian.Uint32(id[:])^binary.BigEndian.Uint32(b[i:]))
	}
	return id
}

// ask sends one question.
func (lookup Lookup) ask(ctx context.Context, name string) (r *ntp.Response, from netip.Addr, err error) {
	found, err := lookup(ctx, name)
	if err != nil {
		return nil, from, err
	}
	from = found[0]
	r, err = ntp.QueryWithOptions(netip.AddrPortFrom(from, port).String(), ntp.QueryOptions{Timeout: askTime})
	return r, from, err
}

// Measure asks sources once and changes nothing.
func Measure(ctx context.Context, sources []string, lookup Lookup) State {
	c := NewClient(sources, lookup, nil, slog.New(slog.DiscardHandler))
	c.round(ctx)
	return c.State()
}
