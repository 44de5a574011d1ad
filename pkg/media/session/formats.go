package session

import (
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// sent are the formats that a party sends: those that it was told that we take.
func sent(said *ctl.MediaStream) []ctl.MediaFormat {
	if len(said.Told) > 0 {
		return said.Told
	}
	return said.Formats
}

// types returns which payload types packets from one party get towards another, or nil if they keep
// theirs. What the other does not take keeps its own too, unless the other takes that for something else.
func types(from, to *stream) *relay.Types {
	if from.said == nil || to.said == nil {
		return nil
	}
	var t relay.Types
	for pt := range t {
		t[pt] = uint8(pt)
	}
	same := true
	list := sent(from.said)
	for i := range list {
		f := &list[i]
		if m := match(f, to.said.Formats, &t); m != nil {
			t[f.PayloadType&0x7f] = m.PayloadType & 0x7f
		} else if taken(f.PayloadType, to.said.Formats) {
			t[f.PayloadType&0x7f] = relay.DropType
		}
		same = same && t[f.PayloadType&0x7f] == f.PayloadType&0x7f
	}
	if same {
		return nil
	}
	return &t
}

// match returns the format among those that a party takes that is the same as f: one with the same
// parameters rather than one whose parameters go with it.
func match(f *ctl.MediaFormat, takes []ctl.MediaFormat, t *relay.Types) (found *ctl.MediaFormat) {
	for i := range takes {
		o := &takes[i]
		if f.Encoding == "" && o.Encoding == "" && f.PayloadType == o.PayloadType {
			return o
		}
		if !strings.EqualFold(f.Encoding, o.Encoding) || f.ClockRate != o.ClockRate || max(f.Channels, 1) != max(o.Channels, 1) || f.Encoding == "" {
			continue
		}
		switch {
		case strings.EqualFold(f.Encoding, "rtx"):
			if apt(f) >= 0 && apt(o) >= 0 && int(t[apt(f)]) == apt(o) {
				return o
			}
		case f.Params == o.Params && f.PayloadType == o.PayloadType:
			return o
		case f.Params == o.Params && (found == nil || found.Params != f.Params), found == nil && compatible(f, o):
			found = o
		}
	}
	return found
}

func taken(pt uint8, takes []ctl.MediaFormat) bool {
	for i := range takes {
		if takes[i].PayloadType == pt {
			return true
		}
	}
	return false
}

// apt is the payload type that retransmissions are of (RFC 4588 §8.1), or -1.
func apt(f *ctl.MediaFormat) int {
	pt, err := strconv.Atoi(param(f.Params, "apt"))
	if err != nil || pt < 0 || pt > 127 {
		return -1
	}
	return pt
}

// compatible reports whether who takes o can decode f. Of most encodings the parameters are wishes; of
// these they are other formats (RFC 6184 §8.2.2, RFC 9628 §7.2.2).
func compatible(f, o *ctl.MediaFormat) bool {
	switch strings.ToLower(f.Encoding) {
	case "h264":
		return orZero(param(f.Params, "packetization-mode")) == orZero(param(o.Params, "packetization-mode")) &&
			profile(f) == profile(o)
	case "vp9":
		return orZero(param(f.Params, "profile-id")) == orZero(param(o.Params, "profile-id"))
	}
	return true
}

func orZero(v string) string {
	if v == "" {
		return "0"
	}
	return v
}

// profile is the profile of H.264: the first byte of its profile-level-id. Without one it is Baseline.
func profile(f *ctl.MediaFormat) string {
	if id := param(f.Params, "profile-level-id"); len(id) >= 2 {
		return strings.ToLower(id[:2])
	}
	return "42"
}

// param returns a parameter of a=fmtp.
func param(params, name string) string {
	for p := range strings.SplitSeq(params, ";") {
		if k, v, ok := strings.Cut(strings.TrimSpace(p), "="); ok && strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}
