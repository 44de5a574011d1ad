package session

import (
	"errors"
	"time"

	"github.com/coraltele/sanchar/pkg/media/secure/handshake"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// shaking is a handshake of a stream, on its RTP or its RTCP socket.
type shaking struct {
	*handshake.Handshake
	about string
}

// shakeLocked begins the handshakes that the draft's legs need, and ends those that nobody needs. It is
// called when the relay knows the streams. It reports whether any changed.
func (t *Table) shakeLocked(s *session) (changed bool) {
	s.streams(func(l *leg, i int, st *stream) {
		for n := range st.handshakes {
			changed = t.shakeOnLocked(s, l, i, n) || changed
		}
	})
	return changed
}

func (t *Table) shakeOnLocked(s *session, l *leg, i, n int) (changed bool) {
	st := l.streams[i]
	sec := &st.secrets
	needed := sec.protection == ctl.DTLS && !l.rides(i) && wants(st.said) && l.with != nil && !(n == 1 && (st.said.Mux || l.ours.Bundle))
	h := st.handshakes[n]
	if h != nil && (!needed || h.about != sec.about) {
		h.Stop()
		st.handshakes[n] = nil
		h, changed = nil, true
	}
	if !needed || h != nil || sec.rests(n) {
		return changed
	}
	st.handshakes[n] = t.handshakeLocked(s, l, i, n)
	return true
}

// handshakeLocked begins a handshake with a stream's party.
func (t *Table) handshakeLocked(s *session, l *leg, i, n int) *shaking {
	st := l.streams[i]
	h := &shaking{about: st.secrets.about}
	cfg := handshake.Config{
		Identity: t.identity, Active: st.secrets.setup == setupActive, Log: t.log.With("session", s.id, "leg", l.id),
		Send: func(datagram []byte) {
			_ = s.loop.Do(func(int64) { st.relay.SendHandshake(n == 1, datagram) }) // a loop that has ended sends nothing
		},
		Done: func(r handshake.Result) { t.shaken(s, l.id, i, n, h, r) },
	}
	for _, f := range st.said.Fingerprints {
		cfg.Fingerprints = append(cfg.Fingerprints, handshake.Fingerprint{Hash: f.Hash, Value: f.Value})
	}
	h.Handshake = handshake.Start(t.life, cfg)
	t.shakes.Go(func() { <-h.Ended() })
	return h
}

// shaken takes the result of a handshake, if the stream still waits for it.
func (t *Table) shaken(s *session, id string, i, n int, h *shaking, r handshake.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := s.leg(id)
	if t.sessions[s.id] != s || l == nil || i >= len(l.streams) || l.streams[i].handshakes[n] != h {
		return
	}
	st := l.streams[i]
	err := r.Err
	if err == nil {
		st.secrets.keyed[n] = keys{r.RX, r.TX}
		err = errors.Join(s.loop.Do(func(now int64) { r.Err = st.giveKeys(now) }), r.Err)
	}
	ev := ctl.MediaEvent{Session: s.id, Leg: id, Index: i, Kind: ctl.MediaInsecure, At: time.Now()}
	if err != nil && st.secrets.carried && st.secrets.keyed[n].valid() {
		t.log.Debug("a party keeps the keys that it had", "session", s.id, "leg", id, "err", err)
		return
	}
	if err != nil {
		ev.Text = err.Error()
		t.log.Info("media of a leg could not be secured", "session", s.id, "leg", id, "err", err)
		t.tell(ev)
		return
	}
	t.keepLocked(s)
	if n == 0 {
		ev.Kind, ev.Text = ctl.MediaSecured, r.TX.Suite.String()
		t.tell(ev)
		st.notice.secured = true
	}
}

// stopShaking ends the handshakes of a stream that leaves.
func (st *stream) stopShaking() {
	for _, h := range st.handshakes {
		if h != nil {
			h.Stop()
		}
	}
}
