package terms

import (
	"net/netip"
	"slices"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/sdp"
)

// Stream is what a party says of an m-line, for mediad. told is the m-line that the party has heard
// from us; nil while it has heard none.
func Stream(m, told *sdp.Media, t *ctl.MediaTerms) (s ctl.MediaStream) {
	s.Kind = m.Kind
	if !live(m) {
		return s
	}
	s.RTP, s.RTCP, s.Mux, s.Direction = m.RTP(), m.RTCP, m.Mux, ctl.Direction(m.Direction.String())
	s.Protection, s.Feedback, s.Ptime = t.Protection, m.Feedback(), m.Ptime(false)
	var buf [32]sdp.Format
	said := m.AppendFormats(buf[:0])
	s.Formats = formats(said)
	if told != nil {
		var buf [32]sdp.Format
		if heard := told.AppendFormats(buf[:0]); !agree(said, heard) {
			s.Told = formats(heard)
		}
	}
	addKeys(&s, m, t)
	if t.ICE != ctl.NoICE {
		s.ICE = iceOf(m)
	}
	if t.Bundle {
		s.MID, s.MIDExt, s.SSRCs = m.MID(), m.Ext(sdp.ExtMID), m.SSRCs()
	}
	return s
}

func addKeys(s *ctl.MediaStream, m *sdp.Media, t *ctl.MediaTerms) {
	switch t.Protection {
	case ctl.SDES:
		list, _ := m.Cryptos() // what cannot be taken was refused
		for _, c := range list {
			s.Crypto = append(s.Crypto, ctl.MediaCrypto{Tag: c.Tag, Suite: c.Suite, Key: c.Key, MKI: c.MKI})
		}
	case ctl.DTLS:
		for _, f := range m.Fingerprints() {
			s.Fingerprints = append(s.Fingerprints, ctl.MediaFingerprint{Hash: f.Hash, Value: f.Value})
		}
		s.Setup = m.Setup()
	case ctl.Through:
		s.Secure = m.Secure()
	case ctl.Plain:
	}
}

func formats(list []sdp.Format) (out []ctl.MediaFormat) {
	if len(list) > 0 {
		out = make([]ctl.MediaFormat, 0, len(list))
	}
	for _, f := range list {
		out = append(out, ctl.MediaFormat{PayloadType: f.PayloadType, Encoding: f.Encoding, ClockRate: f.ClockRate, Channels: f.Channels, Params: f.Params})
	}
	return out
}

// agree reports whether two lists number the same formats alike and give no number to two.
func agree(said, told []sdp.Format) bool {
	return !slices.ContainsFunc(told, func(t sdp.Format) bool {
		i := slices.IndexFunc(said, func(s sdp.Format) bool { return s.PayloadType == t.PayloadType })
		return i >= 0 && !said[i].Same(&t) || i < 0 && has(said, &t)
	})
}

func iceOf(m *sdp.Media) (out ctl.MediaICE) {
	ice := m.ICE()
	out.Ufrag, out.Pwd, out.Lite = ice.Ufrag, ice.Pwd, ice.Lite
	for _, c := range ice.Candidates {
		out.Candidates = append(out.Candidates, ctl.MediaCandidate{
			Foundation: c.Foundation, Component: c.Component, Priority: c.Priority, Addr: c.Addr, Type: c.Type, Related: c.Related,
		})
	}
	return out
}

// Keyed reports whether the relay has given what the terms want to say.
func Keyed(t *ctl.MediaTerms, p *ctl.MediaPorts) bool {
	switch t.Protection {
	case ctl.SDES:
		return len(p.Crypto) > 0
	case ctl.DTLS:
		return p.Fingerprint.Hash != ""
	case ctl.Plain, ctl.Through:
	}
	return true
}

// Dress writes the leg's terms into an m-line that is offered or answered at p.
func Dress(sec *sdp.Section, t *ctl.MediaTerms, p *ctl.MediaPorts, offer bool) {
	sec.RTP, sec.RTCP = p.RTP.Port(), p.RTCP.Port()
	d := &sec.Terms
	d.NoZRTP, d.Mux = t.NoZRTP, t.Mux
	if t.Mux {
		sec.RTCP = sec.RTP
	}
	switch t.Protection {
	case ctl.Through:
		d.Through = true
	case ctl.SDES:
		for _, c := range p.Crypto {
			d.Crypto = append(d.Crypto, sdp.Crypto{Tag: c.Tag, Suite: c.Suite, Key: c.Key, MKI: c.MKI})
		}
	case ctl.DTLS:
		d.Fingerprint = sdp.Fingerprint{Hash: p.Fingerprint.Hash, Value: p.Fingerprint.Value}
		d.Setup = setup(t, p, offer)
	case ctl.Plain:
	}
	dressICE(sec, t, p)
}

// setup is our part in opening the association: in an offer the party may choose (RFC 8842 §5.3).
func setup(t *ctl.MediaTerms, p *ctl.MediaPorts, offer bool) string {
	switch {
	case offer:
		return "actpass"
	case p.Setup == "active" || p.Setup == "passive":
		return p.Setup
	case t.Setup == "active":
		return t.Setup
	}
	return "passive"
}

func dressICE(sec *sdp.Section, t *ctl.MediaTerms, p *ctl.MediaPorts) {
	d := &sec.Terms
	kind, best := "host", uint32(126<<24|0xffff<<8) // RFC 8445 §5.1.2.1
	switch t.ICE {
	case ctl.NoICE:
		return
	case ctl.ICELite:
		d.Ufrag, d.Pwd = p.ICE.Ufrag, p.ICE.Pwd
	case ctl.ICEThrough:
		party := sec.From.ICE()
		d.Direct, d.Ufrag, d.Pwd = true, party.Ufrag, party.Pwd
		kind, best = "relay", 0 // below whatever the parties have
	}
	for _, c := range p.ICE.Candidates {
		if kind == "relay" {
			c.Priority = uint32(256 - int(c.Component))
		}
		d.Candidates = append(d.Candidates, sdp.Candidate{
			Foundation: c.Foundation, Component: c.Component, Priority: c.Priority, Addr: c.Addr, Type: c.Type, Related: c.Related,
		})
	}
	if d.Candidates != nil {
		return
	}
	for i, a := range [...]netip.AddrPort{p.RTP, p.RTCP} {
		if a.IsValid() && (i == 0 || !t.Mux) {
			d.Candidates = append(d.Candidates, sdp.Candidate{Foundation: "box", Component: uint8(i + 1), Priority: best | uint32(256-i-1), Addr: a, Type: kind, Related: related(kind, a)})
		}
	}
}

// related is where a relay candidate hangs on (RFC 8839 §5.1): it is given for those that look for
// faults, and ours hangs on nothing else.
func related(kind string, a netip.AddrPort) netip.AddrPort {
	if kind == "relay" {
		return a
	}
	return netip.AddrPort{}
}
