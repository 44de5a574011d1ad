package sdp

import (
	"strconv"
	"strings"
)

// Format is one payload type of an m-line.
type Format struct {
	PayloadType uint8
	Encoding    string // as in rtpmap
	ClockRate   uint32
	Channels    uint8  // 0 where rtpmap says none: one
	Params      string // of a=fmtp
}

// Same reports whether two formats are of the same encoding, whatever their payload types.
func (f *Format) Same(o *Format) bool {
	return f.ClockRate == o.ClockRate && max(f.Channels, 1) == max(o.Channels, 1) && strings.EqualFold(f.Encoding, o.Encoding)
}

// AppendFormats appends the formats of an RTP m-line in their order.
func (m *Media) AppendFormats(dst []Format) []Format {
	first := len(dst)
	for list := m.Formats; list != ""; {
		var one string
		one, list, _ = strings.Cut(list, " ")
		if n, err := strconv.ParseUint(one, 10, 7); err == nil {
			dst = append(dst, static(uint8(n)))
		}
	}
	for text := m.body; text != ""; {
		var line string
		line, text = nextLine(text)
		if v, ok := strings.CutPrefix(line, "a=rtpmap:"); ok {
			each(dst[first:], v, func(f *Format, v string) {
				params := f.Params
				*f = parseRTPMap(f.PayloadType, v)
				f.Params = params
			})
		} else if v, ok := strings.CutPrefix(line, "a=fmtp:"); ok {
			each(dst[first:], v, func(f *Format, v string) { f.Params = v })
		}
	}
	known := dst[:first]
	for _, f := range dst[first:] {
		if f.ClockRate != 0 {
			known = append(known, f)
		}
	}
	return known
}

// each does something to the formats of the payload type that an attribute's value begins with.
func each(formats []Format, v string, do func(f *Format, v string)) {
	pt, rest, _ := strings.Cut(v, " ")
	n, err := strconv.ParseUint(pt, 10, 7)
	for i := range formats {
		if err == nil && formats[i].PayloadType == uint8(n) {
			do(&formats[i], strings.TrimLeft(rest, " "))
		}
	}
}

// parseRTPMap reads encoding/clock[/channels] (RFC 8866 §6.6).
func parseRTPMap(pt uint8, v string) Format {
	enc, rest, _ := strings.Cut(v, "/")
	clock, ch, _ := strings.Cut(rest, "/")
	rate, err := strconv.ParseUint(clock, 10, 32)
	if err != nil || enc == "" {
		return Format{PayloadType: pt}
	}
	channels, _ := strconv.ParseUint(strings.TrimSpace(ch), 10, 8) // none, or no number, is one
	return Format{PayloadType: pt, Encoding: enc, ClockRate: uint32(rate), Channels: uint8(channels)}
}

// static knows the payload types that need no rtpmap (RFC 3551 §6).
func static(pt uint8) Format {
	f := Format{PayloadType: pt, ClockRate: 8000}
	switch pt {
	case 0:
		f.Encoding = "PCMU"
	case 3:
		f.Encoding = "GSM"
	case 4:
		f.Encoding = "G723"
	case 8:
		f.Encoding = "PCMA"
	case 9:
		f.Encoding = "G722" // RFC 3551 §4.5.2: its clock is 8000 by an old mistake
	case 13:
		f.Encoding = "CN"
	case 15:
		f.Encoding = "G728"
	case 18:
		f.Encoding = "G729"
	case 26, 31, 34:
		f.Encoding, f.ClockRate = map[uint8]string{26: "JPEG", 31: "H261", 34: "H263"}[pt], 90000
	default:
		return Format{PayloadType: pt}
	}
	return f
}

// HasEvents reports whether the m-line takes telephone events (RFC 4733 §2.4).
func (m *Media) HasEvents() bool {
	return m.Live() && strings.Contains(m.body, " telephone-event/")
}
