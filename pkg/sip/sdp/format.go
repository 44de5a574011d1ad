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
}

// AppendFormats appends the formats of an RTP m-line in their order.
func (m *Media) AppendFormats(dst []Format) []Format {
	for list := m.Formats; list != ""; {
		var one string
		one, list, _ = strings.Cut(list, " ")
		n, err := strconv.ParseUint(one, 10, 7)
		if err != nil {
			continue
		}
		f := static(uint8(n))
		if v, ok := m.rtpmap(one); ok {
			f = parseRTPMap(uint8(n), v)
		}
		if f.ClockRate != 0 {
			dst = append(dst, f)
		}
	}
	return dst
}

// rtpmap returns what a=rtpmap says of a payload type.
func (m *Media) rtpmap(pt string) (string, bool) {
	for text := m.body; text != ""; {
		var line string
		line, text = nextLine(text)
		if v, ok := strings.CutPrefix(line, "a=rtpmap:"); ok {
			if p, enc, ok := strings.Cut(v, " "); ok && p == pt {
				return strings.TrimLeft(enc, " "), true
			}
		}
	}
	return "", false
}

// parseRTPMap reads encoding/clock[/channels] (RFC 8866 §6.6).
func parseRTPMap(pt uint8, v string) Format {
	enc, rest, _ := strings.Cut(v, "/")
	clock, _, _ := strings.Cut(rest, "/")
	rate, err := strconv.ParseUint(clock, 10, 32)
	if err != nil || enc == "" {
		return Format{}
	}
	return Format{PayloadType: pt, Encoding: enc, ClockRate: uint32(rate)}
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
		return Format{}
	}
	return f
}

// HasEvents reports whether the m-line takes telephone events (RFC 4733 §2.4).
func (m *Media) HasEvents() bool {
	return m.Live() && strings.Contains(m.body, " telephone-event/")
}
