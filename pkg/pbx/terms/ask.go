package terms

import (
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/sdp"
)

// Tri is what is known of an ability.
type Tri uint8

// The states of knowledge.
const (
	Unknown Tri = iota
	Yes
	No
)

// maxKnown bounds the codecs that are remembered of a device.
const maxKnown = 24

// Known is what a device has shown by its offers and answers.
type Known struct {
	Takes    sdp.Keying // offered or answered
	Refused  sdp.Keying // as far as it did not take it since
	Feedback Tri        // early feedback (RFC 4585)
	ICE      Tri
	Mux      bool
	Bundle   bool
	Audio    []sdp.Format // that it can speak; payload types say nothing here
}

// Learn takes over what the device says. In an answer only what it takes is new; an offer also shows
// what it does not do.
func (k *Known) Learn(s *sdp.Session, offer bool) {
	open := keyings(s)
	if open == 0 {
		return
	}
	k.Takes |= open
	k.Refused &^= open
	if ice(s) {
		k.ICE = Yes
	} else if offer {
		k.ICE = No
	}
	for i := range s.Media {
		m := &s.Media[i]
		if !live(m) {
			continue
		}
		if m.Feedback() {
			k.Feedback = Yes
		}
		k.Mux = k.Mux || (offer && m.Mux)
		k.Bundle = k.Bundle || (offer && s.Bundled(m))
		if m.Kind == "audio" {
			k.learnAudio(m, offer)
		}
	}
}

func (k *Known) learnAudio(m *sdp.Media, offer bool) {
	if offer {
		k.Audio = nil
	}
	var buf [32]sdp.Format
	for _, f := range m.AppendFormats(buf[:0]) {
		if len(k.Audio) < maxKnown && speech(&f) && !has(k.Audio, &f) {
			f.Encoding, f.Params = strings.Clone(f.Encoding), "" // the description is not kept for it
			k.Audio = append(k.Audio, f)
		}
	}
}

// Ask is one way to offer a call to a device.
type Ask struct {
	Protection ctl.Protection
	Feedback   bool // the profile has early feedback
	Added      bool // codecs that the box itself can turn into the caller's are offered, too
	Direct     bool // the caller's candidates and keys pass
}

// maxAsks bounds how often a device is asked that refuses.
const maxAsks = 8

// Call is what there is to know before a device is asked.
type Call struct {
	Offer  *sdp.Session // of the caller
	Caller ctl.MediaRules
	Callee ctl.MediaRules
	Device Known

	sound []sdp.Format // of the offer, as far as both policies let it pass
}

// Asks are the ways in which a device is offered the call, in order: the next one when it refuses.
// Each protection comes first with the caller's profile and codecs alone, then, since a refusal
// seldom says what for, without early feedback, then with codecs of the box.
func (c *Call) Asks() (list []Ask) {
	c.sound = c.audio()
	feedback := c.Device.Feedback == Yes || (c.Device.Feedback == Unknown && feedback(c.Offer))
	rounds := []Ask{{Feedback: feedback}}
	if feedback {
		rounds = append(rounds, Ask{})
	}
	switch {
	case !c.mayAdd():
	case c.strange():
		rounds = []Ask{{Feedback: feedback, Added: true}}
		if feedback {
			rounds = append(rounds, Ask{Added: true})
		}
	default:
		rounds = append(rounds, Ask{Added: true})
	}
	if c.direct() {
		ask := Ask{Feedback: feedback, Direct: true}
		if keyings(c.Offer)&^sdp.Plain != 0 {
			ask.Protection = ctl.Through
		}
		list = append(list, ask)
	}
	for _, round := range rounds {
		for _, p := range c.order() {
			round.Protection = p
			list = append(list, round)
		}
	}
	return list[:min(len(list), maxAsks)]
}

// Blind is how a device is asked that has called without an offer: it cannot be asked again.
func (c *Call) Blind() Ask {
	c.sound = c.audio()
	list := c.order()
	p := list[0]
	if c.Device.Takes&keying(p) == 0 {
		p = list[len(list)-1] // clear, unless the policy forbids it
	}
	if c.Callee.Encryption == ctl.EncryptionRequired && c.Device.Takes&keying(p) == 0 {
		p = list[0]
	}
	return Ask{Protection: p, Feedback: c.Device.Feedback == Yes, Added: c.mayAdd() && c.strange()}
}

// zrtp reports whether the caller wants to key end to end and may.
func (c *Call) zrtp() bool {
	return c.Caller.ZRTP == ctl.ZRTPPass && c.Callee.ZRTP == ctl.ZRTPPass && slices.ContainsFunc(c.Offer.Media, func(m sdp.Media) bool { return live(&m) && m.ZRTP() })
}

// order puts what the device has shown before what is not known of it, and that before what it has
// refused, each as the policy wants it. Who keys end to end needs a leg that does not (RFC 6189 §1).
func (c *Call) order() []ctl.Protection {
	list := kinds(&c.Callee)
	zrtp := c.zrtp()
	rank := func(p ctl.Protection) int {
		switch {
		case zrtp && p == ctl.Plain:
			return -1
		case c.Device.Takes&keying(p) != 0:
			return 0
		case c.Device.Refused&keying(p) != 0:
			return 2
		}
		return 1
	}
	slices.SortStableFunc(list, func(a, b ctl.Protection) int { return rank(a) - rank(b) })
	return list
}

func feedback(s *sdp.Session) bool {
	return slices.ContainsFunc(s.Media, func(m sdp.Media) bool { return live(&m) && m.Feedback() })
}

// direct reports whether media may go around the box: both sides' policies let it, the offer is made
// for it, and the way that the caller has keyed is one that both policies allow. An association of
// DTLS is with one certificate for good in phones that make no other when they are transferred, so
// the box's must be it.
func (c *Call) direct() bool {
	if c.Caller.Path != ctl.PathDirect || c.Callee.Path != ctl.PathDirect || c.Device.ICE == No || !ice(c.Offer) || len(c.Offer.Bundle()) > 0 {
		return false
	}
	if len(c.Caller.Codecs)+len(c.Callee.Codecs) > 0 || c.strange() {
		return false
	}
	open := keyings(c.Offer)
	if open&sdp.DTLS != 0 {
		return false
	}
	for _, r := range [...]*ctl.MediaRules{&c.Caller, &c.Callee} {
		var allowed sdp.Keying
		for _, p := range kinds(r) {
			allowed |= keying(p)
		}
		if open&allowed != open {
			return false
		}
	}
	return true
}

// audio are the formats of sound of the offer that both policies let pass.
func (c *Call) audio() (list []sdp.Format) {
	for i := range c.Offer.Media {
		if m := &c.Offer.Media[i]; m.Kind == "audio" && live(m) {
			list = append(list, Offered(m, &c.Caller, &c.Callee)...)
		}
	}
	return list
}

// mayAdd reports whether the box could turn what the caller speaks into something else.
func (c *Call) mayAdd() bool {
	return c.Caller.Transcoding == ctl.On && c.Callee.Transcoding == ctl.On &&
		slices.ContainsFunc(c.sound, func(f sdp.Format) bool { return speech(&f) && transcodable(&f) })
}

// strange reports whether the device has shown that it shares no codec with the caller.
func (c *Call) strange() bool {
	if len(c.Device.Audio) == 0 {
		return false
	}
	return !slices.ContainsFunc(c.sound, func(f sdp.Format) bool { return speech(&f) && has(c.Device.Audio, &f) })
}

// Terms are what is said with an ask.
func (c *Call) Terms(a Ask) (t ctl.MediaTerms) {
	t = ctl.MediaTerms{
		Protection: a.Protection, Suites: suitesOf(a.Protection, &c.Callee), Setup: "actpass", Mux: c.Device.Mux, Bundle: c.Device.Mux && c.Device.Bundle,
		NoZRTP: c.Callee.ZRTP == ctl.ZRTPRefuse || c.Caller.ZRTP == ctl.ZRTPRefuse,
	}
	switch {
	case a.Direct:
		t.ICE, t.Mux, t.Bundle = ctl.ICEThrough, muxed(c.Offer), false
	case c.Device.ICE == Yes:
		t.ICE = ctl.ICELite
	}
	return t
}

// Refuse notes that the device did not take a protection that it was asked for alone.
func (k *Known) Refuse(p ctl.Protection) {
	if p != ctl.Through {
		k.Refused |= keying(p)
		k.Takes &^= keying(p)
	}
}
