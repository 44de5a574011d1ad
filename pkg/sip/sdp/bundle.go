package sdp

import (
	"slices"
	"strconv"
	"strings"
)

// ExtMID is the header extension that carries a packet's MID (RFC 9143 §15.1).
const ExtMID = "urn:ietf:params:rtp-hdrext:sdes:mid"

// maxSSRCs bounds the sources that are known by name: those of simulcast with retransmissions.
const maxSSRCs = 16

// Bundle returns the MIDs of the first BUNDLE group (RFC 9143 §7.2), nil without one.
func (s *Session) Bundle() []string {
	v, ok := lineValue(s.head, "a=group:BUNDLE")
	if !ok {
		return nil
	}
	mids := strings.Fields(v)
	return mids[:min(len(mids), MaxMedia)]
}

// Bundled reports whether an m-line is in the group.
func (s *Session) Bundled(m *Media) bool {
	mid := m.MID()
	return mid != "" && slices.Contains(s.Bundle(), mid)
}

// maxMID bounds the names of m-lines: two characters do, and the header extension has room for 16.
const maxMID = 16

// MID returns the m-line's name (RFC 5888 §4), "" for none or one that is too long.
func (m *Media) MID() string {
	v, _ := lineValue(m.body, "a=mid:")
	if len(v) > maxMID || strings.ContainsAny(v, " \t") {
		return ""
	}
	return v
}

// Ext returns the id of a header extension (RFC 8285 §5): 1 to 14 of one byte, above that of two; 0
// where there is none.
func (m *Media) Ext(uri string) uint8 {
	for _, text := range [...]string{m.body, m.head} {
		for text != "" {
			var line string
			line, text = nextLine(text)
			v, ok := strings.CutPrefix(line, "a=extmap:")
			if !ok {
				continue
			}
			fields := strings.Fields(v)
			if len(fields) < 2 || fields[1] != uri {
				continue
			}
			id, _, _ := strings.Cut(fields[0], "/") // its direction
			if n, err := strconv.ParseUint(id, 10, 8); err == nil {
				return uint8(n)
			}
		}
	}
	return 0
}

// FreeExt returns an id of one byte that no header extension of the m-line has; 0 if there is none.
func (m *Media) FreeExt() uint8 {
	var used [15]bool
	for _, text := range [...]string{m.body, m.head} {
		for text != "" {
			var line string
			line, text = nextLine(text)
			v, ok := strings.CutPrefix(line, "a=extmap:")
			id, _, _ := strings.Cut(v, " ")
			id, _, _ = strings.Cut(id, "/")
			if n, err := strconv.ParseUint(id, 10, 8); ok && err == nil && n < 15 && !strings.Contains(line, ExtMID) {
				used[n] = true
			}
		}
	}
	for id := uint8(1); id < 15; id++ { // RFC 8285 §4.2
		if !used[id] {
			return id
		}
	}
	return 0
}

// SSRCs returns the sources that the writer says it sends (RFC 5576 §4.1).
func (m *Media) SSRCs() (list []uint32) {
	for text := m.body; text != "" && len(list) < maxSSRCs; {
		var line string
		line, text = nextLine(text)
		v, ok := strings.CutPrefix(line, "a=ssrc:")
		if !ok {
			continue
		}
		id, _, _ := strings.Cut(v, " ")
		if n, err := strconv.ParseUint(id, 10, 32); err == nil && !slices.Contains(list, uint32(n)) {
			list = append(list, uint32(n))
		}
	}
	return list
}

// MuxOnly reports whether RTCP must share the port of RTP (RFC 8858 §3).
func (m *Media) MuxOnly() bool {
	_, ok := lineValue(m.body, "a=rtcp-mux-only")
	return ok
}

// Ptime returns the milliseconds of sound in a packet that the writer wants (RFC 8866 §6.4), or
// with max the most that it takes (RFC 8866 §6.5); 0 if it does not say.
func (m *Media) Ptime(most bool) uint16 {
	name := "a=ptime:"
	if most {
		name = "a=maxptime:"
	}
	v, _ := lineValue(m.body, name)
	n, err := strconv.ParseFloat(v, 32) // some write 20.0
	if err != nil || !(n >= 1 && n <= 1000) {
		return 0
	}
	return uint16(n)
}

// Bandwidth returns the kbit/s that the writer takes: b=AS (RFC 8866 §5.8), or b=TIAS (RFC 3890
// §6.2); 0 if it does not say.
func (m *Media) Bandwidth() uint32 {
	if v, ok := lineValue(m.body, "b=AS:"); ok {
		n, _ := strconv.ParseUint(v, 10, 32)
		return uint32(n)
	}
	v, _ := lineValue(m.body, "b=TIAS:")
	n, _ := strconv.ParseUint(v, 10, 63)
	return uint32(min((n+999)/1000, 1<<32-1))
}
