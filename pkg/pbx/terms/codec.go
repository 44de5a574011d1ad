package terms

import (
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/sdp"
)

// own are the codecs that the box can turn into each other, best first.
func own() []sdp.Format {
	return []sdp.Format{
		{Encoding: "opus", ClockRate: 48000, Channels: 2, Params: "useinbandfec=1"}, // RFC 7587 §7
		{PayloadType: 9, Encoding: "G722", ClockRate: 8000},
		{PayloadType: 8, Encoding: "PCMA", ClockRate: 8000},
		{PayloadType: 0, Encoding: "PCMU", ClockRate: 8000},
	}
}

// events is what telephone events are called, whatever their clock (RFC 4733 §7.1.1).
const events = "telephone-event"

func isEvents(f *sdp.Format) bool { return strings.EqualFold(f.Encoding, events) }

// speech reports whether a format carries sound by itself, and not digits, noise or copies.
func speech(f *sdp.Format) bool {
	return !isEvents(f) && !strings.EqualFold(f.Encoding, "CN") && !strings.EqualFold(f.Encoding, "red")
}

func has(list []sdp.Format, f *sdp.Format) bool { return find(list, f) != nil }

func find(list []sdp.Format, f *sdp.Format) *sdp.Format {
	for i := range list {
		if list[i].Same(f) {
			return &list[i]
		}
	}
	return nil
}

func transcodable(f *sdp.Format) bool { return has(own(), f) }

// Offered are the formats of an m-line of sound that the policies of both sides let pass, in the
// order that the callee's wants, or else the caller's.
func Offered(m *sdp.Media, caller, callee *ctl.MediaRules) []sdp.Format {
	list := m.AppendFormats(nil)
	list = filter(list, caller.Codecs)
	return filter(list, callee.Codecs)
}

// filter keeps the codecs that are named, in the order of their names, and what goes with them.
func filter(list []sdp.Format, names []string) (kept []sdp.Format) {
	if len(names) == 0 {
		return list
	}
	for _, name := range names {
		for _, f := range list {
			if speech(&f) && strings.EqualFold(f.Encoding, name) {
				kept = append(kept, f)
			}
		}
	}
	for _, f := range list {
		if !speech(&f) && !strings.EqualFold(f.Encoding, "red") && hasClock(kept, f.ClockRate) {
			kept = append(kept, f)
		}
	}
	return kept
}

// hasClock reports whether a codec has this clock: events and noise go by the clock of the sound
// beside them (RFC 4733 §2.1).
func hasClock(list []sdp.Format, rate uint32) bool {
	return slices.ContainsFunc(list, func(f sdp.Format) bool { return speech(&f) && f.ClockRate == rate })
}

// Payloads are the formats that an m-line is offered with, nil for all that it has. With added they
// are followed by those that the box itself can turn into one of them.
func Payloads(m *sdp.Media, caller, callee *ctl.MediaRules, added bool) []sdp.Format {
	if m.Kind != "audio" || (len(caller.Codecs)+len(callee.Codecs) == 0 && !added) {
		return nil
	}
	list := Offered(m, caller, callee)
	if !added {
		return list
	}
	for _, f := range filter(own(), callee.Codecs) {
		if !has(list, &f) {
			list = add(list, f)
		}
	}
	if !slices.ContainsFunc(list, func(f sdp.Format) bool { return isEvents(&f) }) {
		return list
	}
	for _, rate := range [...]uint32{8000, 48000} {
		digits := sdp.Format{Encoding: events, ClockRate: rate, Params: "0-15"} // RFC 4733 §2.4.1: the keys of a phone
		if hasClock(list, rate) && !has(list, &digits) {
			list = add(list, digits)
		}
	}
	return list
}

// add appends a format with its own payload type, or one that is free.
func add(list []sdp.Format, f sdp.Format) []sdp.Format {
	taken := func(pt uint8) bool {
		return slices.ContainsFunc(list, func(o sdp.Format) bool { return o.PayloadType == pt })
	}
	if f.PayloadType == 0 && !strings.EqualFold(f.Encoding, "PCMU") || taken(f.PayloadType) {
		for f.PayloadType = 96; taken(f.PayloadType); f.PayloadType++ { // RFC 3551 §6: 96 to 127
			if f.PayloadType == 127 {
				return list
			}
		}
	}
	return append(list, f)
}

// Share reports whether two parties that have spoken could talk without the box between. Those that
// have no sound share what there is.
func Share(a, b *sdp.Session) bool {
	one, two := sound(a), sound(b)
	if one == nil || two == nil {
		return true
	}
	theirs := two.AppendFormats(nil)
	return slices.ContainsFunc(one.AppendFormats(nil), func(f sdp.Format) bool { return speech(&f) && has(theirs, &f) })
}

// sound returns the first m-line of sound that is in use.
func sound(s *sdp.Session) *sdp.Media {
	for i := range s.Media {
		if m := &s.Media[i]; m.Kind == "audio" && live(m) {
			return m
		}
	}
	return nil
}

// Answered are the formats that who has offered is answered with, nil for the answer's own. Where
// nothing is shared they are what the box can turn the answer into. It reports false for parties that
// cannot talk.
func Answered(offered, answered *sdp.Media, transcoding bool) (list []sdp.Format, ok bool) {
	if offered.Kind != "audio" || !live(offered) {
		return nil, true
	}
	theirs, ours := offered.AppendFormats(nil), answered.AppendFormats(nil)
	foreign := slices.ContainsFunc(ours, func(f sdp.Format) bool { return !has(theirs, &f) })
	if !foreign {
		return nil, true
	}
	for _, f := range ours {
		if o := find(theirs, &f); o != nil {
			f.PayloadType = o.PayloadType // RFC 3264 §6.1
			list = append(list, f)
		}
	}
	if slices.ContainsFunc(list, func(f sdp.Format) bool { return speech(&f) }) {
		return list, true
	}
	if !transcoding || !slices.ContainsFunc(ours, func(f sdp.Format) bool { return transcodable(&f) }) {
		return nil, false
	}
	return spoken(theirs)
}

// spoken are the formats that the box itself can speak, as the party numbers them.
func spoken(theirs []sdp.Format) (list []sdp.Format, ok bool) {
	for _, f := range theirs {
		if mine := find(own(), &f); mine != nil {
			f.Params = mine.Params
			list = append(list, f)
		}
	}
	if list == nil {
		return nil, false
	}
	for _, f := range theirs {
		if isEvents(&f) && hasClock(list, f.ClockRate) {
			list = append(list, f)
		}
	}
	return list, true
}
