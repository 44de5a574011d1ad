package session

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/port"
	"github.com/coraltele/sanchar/pkg/media/quality"
	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// draft is what a session is to become. It is a copy: thrown away, it leaves the session as it is.
type draft struct {
	session *session
	legs    []*leg
}

func (s *session) draft() *draft {
	d := &draft{session: s, legs: make([]*leg, len(s.legs))}
	for i, l := range s.legs {
		d.legs[i] = &leg{id: l.id, where: l.where, ours: l.ours, streams: make([]*stream, len(l.streams))}
		for j, st := range l.streams {
			d.legs[i].streams[j] = new(*st)
		}
	}
	for i, l := range s.legs {
		if l.with != nil {
			d.legs[i].with = d.leg(l.with.id)
		}
	}
	return d
}

func (d *draft) leg(id string) *leg {
	i := slices.IndexFunc(d.legs, func(l *leg) bool { return l.id == id })
	if i < 0 {
		return nil
	}
	return d.legs[i]
}

// say takes what a leg says, which may be new. A leg that says nothing of its streams leaves them.
func (d *draft) say(in ctl.MediaLeg) *leg {
	l := d.leg(in.ID)
	if l == nil {
		l = &leg{id: in.ID, where: place{local: in.Local}}
		d.legs = append(d.legs, l)
	}
	bundled := l.ours.Bundle
	if !isZero(&in.Ours) {
		l.ours = in.Ours
	}
	if in.Local != l.where.local { // other sockets, which know nothing yet
		l.where.local = in.Local
		l.renew(0)
	} else if l.ours.Bundle != bundled {
		l.renew(1)
	}
	if in.Source.IsValid() {
		l.where.source = in.Source.Unmap()
	}
	for i := range in.Streams {
		said := &in.Streams[i]
		if i == len(l.streams) {
			l.streams = append(l.streams, &stream{})
		}
		l.streams[i].kind, l.streams[i].said = said.Kind, said
	}
	return l
}

// isZero reports whether terms say nothing, so that those of before stay.
func isZero(t *ctl.MediaTerms) bool {
	return t.Protection == "" && len(t.Suites) == 0 && t.Setup == "" && t.ICE == "" && !t.Mux && !t.Bundle && !t.NoZRTP
}

// renew makes the leg's streams from the n-th on begin anew, on other sockets.
func (l *leg) renew(n int) {
	for i := n; i < len(l.streams); i++ {
		l.streams[i] = &stream{kind: l.streams[i].kind, said: l.streams[i].said}
	}
}

// widen gives a leg as many streams as the one it talks with has.
func (l *leg) widen(as *leg) {
	for i := len(l.streams); i < len(as.streams); i++ {
		l.streams = append(l.streams, &stream{kind: as.streams[i].kind})
	}
}

func (d *draft) drop(id string) {
	l := d.leg(id)
	part(l)
	d.legs = slices.DeleteFunc(d.legs, func(o *leg) bool { return o == l })
}

// pair joins two legs and parts them from others.
func pair(a, b *leg) {
	part(a)
	part(b)
	a.with, b.with = b, a
}

func part(l *leg) {
	if l.with != nil {
		l.with.with, l.with = nil, nil
	}
}

func (d *draft) pairAll(pairs [][2]string) {
	for _, l := range d.legs {
		part(l)
	}
	for _, p := range pairs {
		pair(d.leg(p[0]), d.leg(p[1]))
	}
}

// even gives both legs of each pair the same number of streams.
func (d *draft) even() error {
	for _, l := range d.legs {
		if l.with != nil {
			l.widen(l.with)
		}
	}
	for _, l := range d.legs {
		if len(l.streams) == 0 {
			return problem.Fields("media.request", []problem.Fault{{
				Path: "legs", Value: short(l.id), Rule: "a new leg has streams, or is paired with one that has", Cure: "pair it in the same request",
			}})
		}
	}
	return nil
}

// commitLocked makes the session what the draft says, or leaves it as it is.
func (t *Table) commitLocked(d *draft) error {
	s := d.session
	fresh, err := t.equipLocked(d)
	if err == nil {
		err = t.applyLocked(d)
	}
	if err != nil {
		return errors.Join(err, t.releaseLocked(fresh))
	}
	t.load[s.loop] += streamsOf(d.legs) - streamsOf(s.legs)
	left := d.left()
	for _, l := range s.legs {
		if d.leg(l.id) == nil {
			t.carryLocked(s, l)
		}
	}
	s.legs = d.legs
	if err := t.tuneLocked(s); err != nil && !errors.Is(err, relay.ErrClosed) { // the parties are connected all the same
		t.log.Warn("media session could not be tuned", "session", s.id, "err", err)
	}
	return errors.Join(t.secureLocked(s), t.releaseLocked(left))
}

// secureLocked begins the handshakes that are due, and lets the relay hear them.
func (t *Table) secureLocked(s *session) error {
	if !t.shakeLocked(s) {
		return nil
	}
	var errs []error
	err := s.loop.Do(func(now int64) {
		for _, l := range s.legs {
			for i, st := range l.streams {
				if st.secrets.protection == ctl.DTLS {
					errs = append(errs, l.guard(i, st, now))
				}
			}
		}
	})
	return errors.Join(append(errs, err)...)
}

func streamsOf(legs []*leg) (n int) {
	for _, l := range legs {
		n += len(l.streams)
	}
	return n
}

// equipLocked gives ports to the streams that have none.
func (t *Table) equipLocked(d *draft) (fresh []*port.Pair, err error) {
	now := time.Now()
	for _, l := range d.legs {
		for i, st := range l.streams {
			if st.pair != nil || l.rides(i) {
				continue
			}
			if st.pair, err = t.ports.Acquire(l.where.local, t.dscp(st.kind), now); err != nil {
				return fresh, fmt.Errorf("ports for leg %s: %w", short(l.id), err)
			}
			fresh = append(fresh, st.pair)
		}
	}
	return fresh, nil
}

func (t *Table) releaseLocked(pairs []*port.Pair) error {
	var errs []error
	for _, p := range pairs {
		errs = append(errs, t.ports.Release(p, time.Now()))
	}
	return errors.Join(errs...)
}

// left returns the ports that the session has and the draft has not.
func (d *draft) left() (pairs []*port.Pair) {
	d.session.streams(func(_ *leg, _ int, st *stream) {
		if st.pair != nil && !d.has(func(kept *stream) bool { return kept.pair == st.pair }) {
			pairs = append(pairs, st.pair)
		}
	})
	return pairs
}

// has reports whether a stream of the draft is as is says.
func (d *draft) has(is func(*stream) bool) bool {
	return slices.ContainsFunc(d.legs, func(l *leg) bool { return slices.ContainsFunc(l.streams, is) })
}

// applyLocked tells the relay, in one go between two packets.
func (t *Table) applyLocked(d *draft) error {
	var fault error
	if err := d.session.loop.Do(func(now int64) {
		if fault = d.attach(); fault == nil {
			d.leave(now)
			fault = d.route(now)
		}
	}); err != nil {
		return err
	}
	return fault
}

// attach makes the relay listen on new ports: all of them, or none.
func (d *draft) attach() error {
	var attached []*stream
	for _, l := range d.legs {
		for i, st := range l.streams {
			if st.relay != nil {
				continue
			}
			if l.rides(i) {
				st.relay = d.session.loop.Ride(&st.state)
				continue
			}
			r, err := d.session.loop.Attach(st.pair.RTP, st.pair.RTCP, &st.state)
			if err != nil {
				for _, st := range attached {
					st.relay.Detach()
				}
				return fmt.Errorf("listen on %s: %w", st.pair.Local, err)
			}
			st.relay = r
			attached = append(attached, st)
		}
	}
	return nil
}

// maxGone bounds the accounts of streams that left a session before it ended.
const maxGone = 64

// leave takes the streams that the draft has not out of the relay, and keeps their account.
func (d *draft) leave(now int64) {
	s := d.session
	s.streams(func(l *leg, i int, st *stream) {
		if d.has(func(kept *stream) bool { return kept.relay == st.relay }) {
			return
		}
		st.state = st.relay.State()
		st.relay.Detach()
		st.stopShaking()
		s.gone = append(s.gone, st.account(l, i, clock(now)))
	})
	s.gone = s.gone[max(0, len(s.gone)-maxGone):]
}

// account is what is told of a stream.
func (st *stream) account(l *leg, i int, c quality.Clock) ctl.StreamStats {
	out := quality.Stats(&st.state, st.said, c)
	out.Leg, out.Index, out.Kind, out.Recorded, out.Transcoded, out.Faults = l.id, i, st.kind, st.recorded, st.transcoded, st.faults
	l.base(i).protected(&out)
	out.Direct = st.notice.direct
	return out
}

// protected tells how a stream is.
func (st *stream) protected(out *ctl.StreamStats) {
	out.Protection = st.secrets.protection
	switch st.secrets.protection {
	case ctl.SDES:
		out.Suite = st.secrets.ours.Suite
	case ctl.DTLS:
		out.Suite = st.secrets.keyed[0].TX.Suite.String()
	case ctl.Plain, ctl.Through:
	}
}

// route tells every stream what its party said, and where what it sends goes.
func (d *draft) route(now int64) error {
	var errs []error
	for _, l := range d.legs {
		l.bundle()
		for i, st := range l.streams {
			st.relay.SetTerms(st.terms(l))
			errs = append(errs, l.guard(i, st, now))
			r := relay.Route{}
			if other := l.other(i); other != nil {
				r.To, r.Media, r.Types = other.relay, flows(st, other), types(st, other)
			}
			// Until it is tuned anew nothing of a format that the other never heard of gets to it: some phones
			// take all that follows for late.
			r.Tapped = st.route.To == r.To && st.route.Tapped || st.transcodedTo(l.other(i))
			st.route = r
			st.relay.SetRoute(r)
		}
	}
	return errors.Join(errs...)
}

// bundle tells the relay which streams go on the sockets of the first.
func (l *leg) bundle() {
	if !l.ours.Bundle {
		for i, st := range l.streams {
			st.relay.SetBundle([]*relay.Stream{l.streams[i].relay}, [][]uint32{nil})
		}
		return
	}
	riders, ssrcs := make([]*relay.Stream, len(l.streams)), make([][]uint32, len(l.streams))
	for i, st := range l.streams {
		riders[i] = st.relay
		if st.said != nil {
			ssrcs[i] = st.said.SSRCs
		}
	}
	l.streams[0].relay.SetBundle(riders, ssrcs)
}

// terms is what the relay must know of what a party said.
func (st *stream) terms(l *leg) relay.Terms {
	if st.said == nil {
		return relay.Terms{}
	}
	t := relay.Terms{
		RTP: st.said.RTP, RTCP: rtcpOf(st.said), Source: l.where.source,
		Mux: st.said.Mux || l.ours.Bundle, Secure: !st.locked() && (st.said.Secure || st.secrets.protection == ctl.Through),
		Opaque: !relay.IsRTP(st.said.Kind), NoZRTP: l.ours.NoZRTP, MID: st.said.MID, MIDExt: st.said.MIDExt,
	}
	t.Formats = make([]relay.Format, 0, len(sent(st.said)))
	for _, f := range sent(st.said) {
		t.Formats = append(t.Formats, relay.Format{
			PayloadType: f.PayloadType, ClockRate: f.ClockRate, Untimed: strings.EqualFold(f.Encoding, "telephone-event"),
		})
	}
	return t
}
