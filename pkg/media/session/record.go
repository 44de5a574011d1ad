package session

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/coraltele/sanchar/pkg/base/pack"
	"github.com/coraltele/sanchar/pkg/media/secure"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// recordVersion begins the fixed part of a session's record. It is another one when what follows
// changes: a process takes back no session of one that wrote it otherwise.
const recordVersion = 4

// saved is the fixed part of a session's record.
type saved struct {
	ID         string
	Started    time.Time
	Legs       []savedLeg
	Gone       []ctl.StreamStats
	Recordings []savedRecording
	Plays      []savedPlay
}

// savedPlay is what is played to a leg. After a restart it goes on where it would be.
type savedPlay struct {
	Ask   ctl.MediaPlay
	Begun time.Time
}

func (p *savedPlay) pack(w *pack.Writer) {
	p.Ask.Pack(w)
	w.Time(p.Begun)
}

func (p *savedPlay) unpack(r *pack.Reader) {
	p.Ask.Unpack(r)
	p.Begun = r.Time()
}

// savedRecording is a recording that goes on after a restart.
type savedRecording struct {
	Ask    ctl.MediaRecord
	Paused bool
}

func (r *savedRecording) pack(w *pack.Writer) {
	r.Ask.Pack(w)
	w.Bool(r.Paused)
}

func (r *savedRecording) unpack(rd *pack.Reader) {
	r.Ask.Unpack(rd)
	r.Paused = rd.Bool()
}

type savedLeg struct {
	ID            string
	Local, Source netip.Addr
	With          string
	Ours          ctl.MediaTerms
	Streams       []savedStream
}

type savedStream struct {
	Kind string
	Port uint16           // of RTP; 0 if it rides on another's
	Said *ctl.MediaStream // nil while the party has not spoken
	// Secrets are never on a disk: the record is memory that the supervisor holds.
	Secrets secrets
}

func (s *saved) pack(w *pack.Writer) {
	w.Uint(recordVersion)
	w.String(s.ID)
	w.Time(s.Started)
	pack.WriteList(w, s.Legs, (*savedLeg).pack)
	pack.WriteList(w, s.Gone, (*ctl.StreamStats).Pack)
	pack.WriteList(w, s.Recordings, (*savedRecording).pack)
	pack.WriteList(w, s.Plays, (*savedPlay).pack)
}

// unpack reads a record whole.
func (s *saved) unpack(b []byte) error {
	r := pack.Reader{B: b}
	if v := r.Uint(); v != recordVersion {
		return fmt.Errorf("version %d: not %d", v, recordVersion)
	}
	s.ID, s.Started = r.String(), r.Time()
	s.Legs = pack.ReadList(&r, (*savedLeg).unpack)
	s.Gone = pack.ReadList(&r, (*ctl.StreamStats).Unpack)
	s.Recordings = pack.ReadList(&r, (*savedRecording).unpack)
	s.Plays = pack.ReadList(&r, (*savedPlay).unpack)
	if r.Err == nil && (s.ID == "" || len(r.B) != 0) {
		r.Err = errNoSession
	}
	return r.Err
}

var errNoSession = errors.New("not whole")

func (l *savedLeg) pack(w *pack.Writer) {
	w.String(l.ID)
	w.Addr(netip.AddrPortFrom(l.Local, 0))
	w.Addr(netip.AddrPortFrom(l.Source, 0))
	w.String(l.With)
	l.Ours.Pack(w)
	pack.WriteList(w, l.Streams, (*savedStream).pack)
}

func (l *savedLeg) unpack(r *pack.Reader) {
	l.ID, l.Local, l.Source, l.With = r.String(), r.Addr().Addr(), r.Addr().Addr(), r.String()
	l.Ours.Unpack(r)
	l.Streams = pack.ReadList(r, (*savedStream).unpack)
}

func (s *savedStream) pack(w *pack.Writer) {
	w.String(s.Kind)
	w.Uint(uint64(s.Port))
	w.Bool(s.Said != nil)
	if s.Said != nil {
		s.Said.Pack(w)
	}
	s.Secrets.pack(w)
}

func (s *savedStream) unpack(r *pack.Reader) {
	s.Kind, s.Port = r.String(), uint16(r.Uint())
	if r.Bool() {
		s.Said = new(ctl.MediaStream)
		s.Said.Unpack(r)
	}
	s.Secrets.unpack(r)
}

func (s *secrets) pack(w *pack.Writer) {
	w.String(string(s.protection))
	pack.WriteList(w, s.own, (*ctl.MediaCrypto).Pack)
	pack.WriteList(w, s.offered, (*ctl.MediaCrypto).Pack)
	s.ours.Pack(w)
	s.theirs.Pack(w)
	for _, v := range []string{s.setup, s.about, s.credential.Ufrag, s.credential.Pwd, s.ufrag} {
		w.String(v)
	}
	for i := range s.keyed {
		packMaster(w, &s.keyed[i].RX)
		packMaster(w, &s.keyed[i].TX)
	}
}

func (s *secrets) unpack(r *pack.Reader) {
	s.protection = ctl.Protection(r.String())
	s.own = pack.ReadList(r, (*ctl.MediaCrypto).Unpack)
	s.offered = pack.ReadList(r, (*ctl.MediaCrypto).Unpack)
	s.ours.Unpack(r)
	s.theirs.Unpack(r)
	for _, v := range []*string{&s.setup, &s.about, &s.credential.Ufrag, &s.credential.Pwd, &s.ufrag} {
		*v = r.String()
	}
	for i := range s.keyed {
		unpackMaster(r, &s.keyed[i].RX)
		unpackMaster(r, &s.keyed[i].TX)
	}
}

func packMaster(w *pack.Writer, m *secure.Master) {
	w.Uint(uint64(m.Suite))
	w.String(string(m.Key))
}

func unpackMaster(r *pack.Reader, m *secure.Master) {
	m.Suite = secure.Suite(r.Uint())
	if key := r.String(); key != "" {
		m.Key = []byte(key)
	}
}
