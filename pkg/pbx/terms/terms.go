// Package terms decides what the box says about media on each leg of a call: protection, way and
// codecs, from what the policy wants, what a party has said and what its device has shown before.
package terms

import (
	"slices"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/sdp"
)

// What a party hears whose media is refused, and what the record says.
const (
	WhyRequired = "encryption is required: offer DTLS-SRTP or SDES as the policy allows"
	WhyOff      = "encryption is off: offer RTP/AVP"
	WhyKind     = "the answer is protected in another way than was offered"
	WhyPlain    = "encryption is required, and the answer has none"
	WhyKeys     = "the profile is a secure one, and there are no keys"
	WhyPrint    = "the certificate's fingerprint is missing or cannot be read"
	WhySuite    = "a=crypto: the policy allows none of the suites"
	WhyCodec    = "the parties have no codec in common"
)

// keying translates how a leg is protected.
func keying(p ctl.Protection) sdp.Keying {
	switch p {
	case ctl.SDES:
		return sdp.SDES
	case ctl.DTLS:
		return sdp.DTLS
	}
	return sdp.Plain
}

// kinds are the ways of protection that rules allow, in the order in which they are wanted. Plain
// comes last.
func kinds(r *ctl.MediaRules) (list []ctl.Protection) {
	if r.Encryption != ctl.EncryptionOff {
		for _, k := range r.Kinds {
			list = append(list, ctl.Protection(k))
		}
	}
	if r.Encryption != ctl.EncryptionRequired {
		list = append(list, ctl.Plain)
	}
	return list
}

// live reports whether an m-line is RTP in use.
func live(m *sdp.Media) bool { return m.Live() && m.Relayed() }

// flows reports whether a stream is in use.
func flows(s *sdp.Session) bool {
	return slices.ContainsFunc(s.Media, func(m sdp.Media) bool { return live(&m) })
}

// keyings are the ways that all m-lines in use leave open; of lines that agree on none, the first's.
func keyings(s *sdp.Session) (all sdp.Keying) {
	for i := range s.Media {
		m := &s.Media[i]
		if !live(m) {
			continue
		}
		k := m.Keyings()
		if all == 0 {
			all = k
		}
		if all&k != 0 {
			all &= k
		}
	}
	return all
}

// first returns the first m-line in use that leaves a way open, nil if none does.
func first(s *sdp.Session, k sdp.Keying) *sdp.Media {
	for i := range s.Media {
		if m := &s.Media[i]; live(m) && m.Keyings()&k != 0 {
			return m
		}
	}
	return nil
}

// Answering are our terms towards a party that has offered (RFC 3264 §6), or why there are none.
func Answering(s *sdp.Session, r *ctl.MediaRules) (t ctl.MediaTerms, why string) {
	if !flows(s) {
		return common(s, r), ""
	}
	open := keyings(s)
	for _, p := range kinds(r) {
		m := first(s, keying(p))
		if open&keying(p) == 0 || m == nil {
			continue
		}
		if why = usable(m, p); why != "" {
			continue // it may have left another way open
		}
		if p == ctl.SDES && !suits(m, r.Suites) {
			why = WhySuite
			continue
		}
		t = common(s, r)
		t.Protection = p
		t.Suites = suitesOf(p, r)
		t.Setup = "passive" // RFC 5763 §5 prefers active; but who sends first opens the NATs on its way
		if p == ctl.DTLS && m.Setup() == "passive" {
			t.Setup = "active"
		}
		return t, ""
	}
	switch {
	case why != "":
	case open == 0:
		why = WhyKeys
	case r.Encryption == ctl.EncryptionOff:
		why = WhyOff
	default:
		why = WhyRequired
	}
	return t, why
}

// usable says what is wrong with the keys of an m-line, for a way that it leaves open.
func usable(m *sdp.Media, p ctl.Protection) (why string) {
	switch p {
	case ctl.SDES:
		if _, err := m.Cryptos(); err != nil {
			return "a=crypto: " + err.Error()
		}
	case ctl.DTLS:
		if m.Fingerprints() == nil {
			return WhyPrint
		}
	case ctl.Plain, ctl.Through:
	}
	return ""
}

// suits reports whether the party has keys for a suite of the policy.
func suits(m *sdp.Media, suites []string) bool {
	list, _ := m.Cryptos() // usable has looked at what is wrong
	return len(suites) == 0 || slices.ContainsFunc(list, func(c sdp.Crypto) bool { return slices.Contains(suites, c.Suite) })
}

func suitesOf(p ctl.Protection, r *ctl.MediaRules) []string {
	if p == ctl.SDES {
		return r.Suites
	}
	return nil
}

// common are the terms that do not hang on the protection: what the party offers of ports and ways
// is taken.
func common(s *sdp.Session, r *ctl.MediaRules) (t ctl.MediaTerms) {
	t.NoZRTP = r.ZRTP == ctl.ZRTPRefuse
	t.Mux = muxed(s)
	t.Bundle = t.Mux && len(s.Bundle()) > 0
	if ice(s) {
		t.ICE = ctl.ICELite
	}
	return t
}

// muxed reports whether RTCP may come on RTP's port in all streams that are in use.
func muxed(s *sdp.Session) bool {
	flows := false
	for i := range s.Media {
		if m := &s.Media[i]; live(m) {
			if !m.Mux {
				return false
			}
			flows = true
		}
	}
	return flows
}

// ice reports whether the party checks connectivity for all streams that are in use.
func ice(s *sdp.Session) bool {
	flows := false
	for i := range s.Media {
		if m := &s.Media[i]; live(m) {
			if m.ICE().Ufrag == "" {
				return false
			}
			flows = true
		}
	}
	return flows
}

// Taking are our terms towards a party that has answered what we asked, or why the answer cannot be
// taken. An answer in clear is taken where the policy lets it: the phone has rung, and its user
// waits.
func Taking(s *sdp.Session, asked ctl.MediaTerms, r *ctl.MediaRules) (t ctl.MediaTerms, why string) {
	t = asked
	t.Setup = "actpass"
	if !flows(s) {
		return t, ""
	}
	open := keyings(s)
	t.Mux = asked.Mux && muxed(s)
	t.Bundle = asked.Bundle && t.Mux && len(s.Bundle()) > 0
	if !ice(s) {
		t.ICE = ctl.NoICE
	}
	p := asked.Protection
	if p == ctl.Through {
		return t, ""
	}
	if m := first(s, keying(p)); open&keying(p) != 0 && m != nil {
		return t, usable(m, p)
	}
	switch {
	case open&sdp.Plain == 0:
		return t, WhyKind
	case r.Encryption == ctl.EncryptionRequired:
		return t, WhyPlain
	}
	t.Protection, t.Suites = ctl.Plain, nil
	return t, ""
}

// Same reports whether legs of these terms may share ports and keys towards several devices.
func Same(a, b ctl.MediaTerms) bool {
	return a.Protection == b.Protection && a.ICE == b.ICE && a.Mux == b.Mux && a.Bundle == b.Bundle && a.NoZRTP == b.NoZRTP &&
		a.Setup == b.Setup && slices.Equal(a.Suites, b.Suites)
}
