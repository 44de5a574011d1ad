package ctl

import (
	"math"
	"net/netip"
	"time"

	"github.com/coraltele/sanchar/pkg/base/pack"
)

// The bodies of mediad's verbs, packed: each value in the order of its type's fields. A change of them
// is another pipeProtocol.

func packAddr(w *pack.Writer, a netip.Addr) { w.Addr(netip.AddrPortFrom(a, 0)) }

func unpackAddr(r *pack.Reader) netip.Addr { return r.Addr().Addr() }

func (f *MediaFormat) pack(w *pack.Writer) {
	w.Uint(uint64(f.PayloadType))
	w.String(f.Encoding)
	w.Uint(uint64(f.ClockRate))
	w.Uint(uint64(f.Channels))
	w.String(f.Params)
}

func (f *MediaFormat) unpack(r *pack.Reader) {
	f.PayloadType, f.Encoding, f.ClockRate = uint8(r.Uint()), r.String(), uint32(r.Uint())
	f.Channels, f.Params = uint8(r.Uint()), r.String()
}

// Pack appends the stream.
func (s *MediaStream) Pack(w *pack.Writer) {
	w.String(s.Kind)
	w.Addr(s.RTP)
	w.Addr(s.RTCP)
	w.Bool(s.Mux)
	w.String(string(s.Direction))
	w.Bool(s.Secure)
	pack.WriteList(w, s.Formats, (*MediaFormat).pack)
	pack.WriteList(w, s.Told, (*MediaFormat).pack)
	w.String(string(s.Protection))
	pack.WriteList(w, s.Crypto, (*MediaCrypto).Pack)
	pack.WriteList(w, s.Fingerprints, (*MediaFingerprint).pack)
	w.String(s.Setup)
	s.ICE.pack(w)
	s.packPlace(w)
}

// packPlace appends how the stream is told from others, and what it may take.
func (s *MediaStream) packPlace(w *pack.Writer) {
	w.String(s.MID)
	w.Uint(uint64(s.MIDExt))
	w.Int(s.BundleOn)
	pack.WriteList(w, s.SSRCs, func(v *uint32, w *pack.Writer) { w.Uint(uint64(*v)) })
	w.Uint(uint64(s.Ptime))
	w.Bool(s.Feedback)
	w.Uint(uint64(s.Bandwidth))
}

func (s *MediaStream) unpackPlace(r *pack.Reader) {
	s.MID, s.MIDExt, s.BundleOn = r.String(), uint8(r.Uint()), r.Int()
	s.SSRCs = pack.ReadList(r, func(v *uint32, r *pack.Reader) { *v = uint32(r.Uint()) })
	s.Ptime, s.Feedback, s.Bandwidth = uint16(r.Uint()), r.Bool(), uint32(r.Uint())
}

// Unpack reads the stream.
func (s *MediaStream) Unpack(r *pack.Reader) {
	s.Kind, s.RTP, s.RTCP = r.String(), r.Addr(), r.Addr()
	s.Mux, s.Direction, s.Secure = r.Bool(), Direction(r.String()), r.Bool()
	s.Formats = pack.ReadList(r, (*MediaFormat).unpack)
	s.Told = pack.ReadList(r, (*MediaFormat).unpack)
	s.Protection = Protection(r.String())
	s.Crypto = pack.ReadList(r, (*MediaCrypto).Unpack)
	s.Fingerprints = pack.ReadList(r, (*MediaFingerprint).unpack)
	s.Setup = r.String()
	s.ICE.unpack(r)
	s.unpackPlace(r)
}

func (l *MediaLeg) pack(w *pack.Writer) {
	w.String(l.ID)
	packAddr(w, l.Local)
	packAddr(w, l.Source)
	pack.WriteList(w, l.Streams, (*MediaStream).Pack)
	l.Ours.Pack(w)
	w.String(l.Continues)
}

func (l *MediaLeg) unpack(r *pack.Reader) {
	l.ID, l.Local, l.Source = r.String(), unpackAddr(r), unpackAddr(r)
	l.Streams = pack.ReadList(r, (*MediaStream).Unpack)
	l.Ours.Unpack(r)
	l.Continues = r.String()
}

func (p *MediaPorts) pack(w *pack.Writer) {
	w.Addr(p.RTP)
	w.Addr(p.RTCP)
	pack.WriteList(w, p.Crypto, (*MediaCrypto).Pack)
	p.Fingerprint.pack(w)
	w.String(p.Setup)
	p.ICE.pack(w)
	w.Uint(uint64(p.SSRC))
}

func (p *MediaPorts) unpack(r *pack.Reader) {
	p.RTP, p.RTCP = r.Addr(), r.Addr()
	p.Crypto = pack.ReadList(r, (*MediaCrypto).Unpack)
	p.Fingerprint.unpack(r)
	p.Setup = r.String()
	p.ICE.unpack(r)
	p.SSRC = uint32(r.Uint())
}

// Pack appends the offer.
func (o *MediaOffer) Pack(w *pack.Writer) {
	w.String(o.Session)
	o.Leg.pack(w)
	o.Peer.pack(w)
}

// Unpack reads the offer.
func (o *MediaOffer) Unpack(r *pack.Reader) {
	o.Session = r.String()
	o.Leg.unpack(r)
	o.Peer.unpack(r)
}

// Pack appends the ports.
func (o *MediaOffered) Pack(w *pack.Writer) {
	pack.WriteList(w, o.Leg, (*MediaPorts).pack)
	pack.WriteList(w, o.Peer, (*MediaPorts).pack)
}

// Unpack reads the ports.
func (o *MediaOffered) Unpack(r *pack.Reader) {
	o.Leg = pack.ReadList(r, (*MediaPorts).unpack)
	o.Peer = pack.ReadList(r, (*MediaPorts).unpack)
}

// Pack appends the answer.
func (a *MediaAnswer) Pack(w *pack.Writer) {
	w.String(a.Session)
	a.Leg.pack(w)
	w.String(a.Peer)
}

// Unpack reads the answer.
func (a *MediaAnswer) Unpack(r *pack.Reader) {
	a.Session = r.String()
	a.Leg.unpack(r)
	a.Peer = r.String()
}

// Pack appends the update. No pairs and nil pairs mean different things.
func (u *MediaUpdate) Pack(w *pack.Writer) {
	w.String(u.Session)
	pack.WriteList(w, u.Legs, (*MediaLeg).pack)
	w.Bool(u.Pairs != nil)
	pack.WriteList(w, u.Pairs, packPair)
	w.Strings(u.Drop)
}

// Unpack reads the update.
func (u *MediaUpdate) Unpack(r *pack.Reader) {
	u.Session = r.String()
	u.Legs = pack.ReadList(r, (*MediaLeg).unpack)
	named := r.Bool()
	u.Pairs = pack.ReadList(r, unpackPair)
	if named && u.Pairs == nil {
		u.Pairs = [][2]string{}
	}
	u.Drop = r.Strings()
}

func packPair(p *[2]string, w *pack.Writer) {
	w.String(p[0])
	w.String(p[1])
}

func unpackPair(p *[2]string, r *pack.Reader) { p[0], p[1] = r.String(), r.String() }

// Pack appends the ports.
func (u *MediaUpdated) Pack(w *pack.Writer) {
	w.Uint(uint64(len(u.Ports)))
	for leg, ports := range u.Ports {
		w.String(leg)
		pack.WriteList(w, ports, (*MediaPorts).pack)
	}
}

// Unpack reads the ports.
func (u *MediaUpdated) Unpack(r *pack.Reader) {
	u.Ports = map[string][]MediaPorts{}
	for n := r.Len(); n > 0 && r.Err == nil; n-- {
		leg := r.String()
		u.Ports[leg] = pack.ReadList(r, (*MediaPorts).unpack)
	}
}

// Pack appends the request.
func (c *MediaClose) Pack(w *pack.Writer) { w.String(c.Session) }

// Unpack reads the request.
func (c *MediaClose) Unpack(r *pack.Reader) { c.Session = r.String() }

// Pack appends the account.
func (c *MediaClosed) Pack(w *pack.Writer) { pack.WriteList(w, c.Streams, (*StreamStats).Pack) }

// Unpack reads the account.
func (c *MediaClosed) Unpack(r *pack.Reader) { c.Streams = pack.ReadList(r, (*StreamStats).Unpack) }

// counts are the fields of an account that are packed as numbers.
func (s *StreamStats) counts() [10]*uint64 {
	return [...]*uint64{
		&s.PacketsIn, &s.BytesIn, &s.PacketsOut, &s.LostIn, &s.LostOut, &s.Dropped, &s.Ignored, &s.Refused, &s.Offloaded, &s.Unmeasured,
	}
}

func (s *StreamStats) times() [3]*time.Duration {
	return [...]*time.Duration{&s.JitterIn, &s.JitterOut, &s.RoundTrip}
}

// Pack appends the account.
func (s *StreamStats) Pack(w *pack.Writer) {
	w.String(s.Leg)
	w.Int(s.Index)
	w.String(s.Kind)
	w.String(s.Codec)
	w.Addr(s.Remote)
	for _, n := range s.counts() {
		w.Uint(*n)
	}
	for _, d := range s.times() {
		w.Int64(int64(*d))
	}
	w.Uint(math.Float64bits(s.MOS))
	w.Time(s.FirstPacket)
	w.Time(s.LastPacket)
	w.String(string(s.Protection))
	w.String(s.Suite)
	w.String(s.Transcoded)
	for _, b := range s.marks() {
		w.Bool(*b)
	}
	pack.WriteList(w, s.Faults, (*MediaFault).pack)
}

func (s *StreamStats) marks() [3]*bool { return [...]*bool{&s.ZRTP, &s.Direct, &s.Recorded} }

func (f *MediaFault) pack(w *pack.Writer) {
	w.Time(f.At)
	w.String(f.Cause)
	w.String(f.Text)
	w.String(f.Cure)
}

func (f *MediaFault) unpack(r *pack.Reader) {
	f.At, f.Cause, f.Text, f.Cure = r.Time(), r.String(), r.String(), r.String()
}

// Unpack reads the account.
func (s *StreamStats) Unpack(r *pack.Reader) {
	s.Leg, s.Index, s.Kind, s.Codec, s.Remote = r.String(), r.Int(), r.String(), r.String(), r.Addr()
	for _, n := range s.counts() {
		*n = r.Uint()
	}
	for _, d := range s.times() {
		*d = time.Duration(r.Int64())
	}
	s.MOS = math.Float64frombits(r.Uint())
	s.FirstPacket, s.LastPacket = r.Time(), r.Time()
	s.Protection, s.Suite, s.Transcoded = Protection(r.String()), r.String(), r.String()
	for _, b := range s.marks() {
		*b = r.Bool()
	}
	s.Faults = pack.ReadList(r, (*MediaFault).unpack)
}
