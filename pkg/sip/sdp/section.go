package sdp

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Section is one m-line to write. With From it describes that stream, at our ports and in our
// terms. Without, it keeps the place of a stream that is no more (RFC 3264 §8.2): Kind, Proto and
// Formats say of what.
type Section struct {
	From      *Media
	RTP, RTCP uint16 // ours; RTP 0 refuses the stream
	Direction Direction

	Kind, Proto, Formats string // Proto with From: another than From's

	Terms Terms
}

// Terms are what the section says in the place of From.
type Terms struct {
	Through bool // keys are the parties' own: From's lines of them pass
	Direct  bool // candidates are the parties' own, too: From's pass, with Candidates beside them
	Chosen  bool // and so does which of them From has chosen

	Addr        netip.Addr // another than the whole description's
	Payloads    []Format   // in this order; nil passes From's
	Crypto      []Crypto
	Fingerprint Fingerprint
	Setup       string
	Ufrag, Pwd  string
	Candidates  []Candidate
	Mux         bool
	MID         string
	MIDExt      uint8
	NoZRTP      bool
	Bandwidth   uint32 // kbit/s at most; 0 passes From's
}

func (s *Section) append(dst []byte) []byte {
	if s.From == nil {
		dst = append(dst, "m="+s.Kind+" 0 "+s.Proto+" "+s.Formats...)
		return append(dst, '\r', '\n')
	}
	dst = s.appendLine(dst)
	if s.RTP == 0 {
		return dst
	}
	t := &s.Terms
	if t.Addr.IsValid() {
		dst = appendC(dst, t.Addr)
	}
	if t.Bandwidth != 0 {
		limit := t.Bandwidth
		if said := s.From.Bandwidth(); said != 0 {
			limit = min(limit, said)
		}
		dst = append(strconv.AppendUint(append(dst, "b=AS:"...), uint64(limit), 10), '\r', '\n')
	}
	dst = s.appendBody(dst)
	dst = t.append(dst, s.From)
	if !t.Mux && s.RTCP != s.RTP+1 && s.RTCP != 0 {
		dst = strconv.AppendUint(append(dst, "a=rtcp:"...), uint64(s.RTCP), 10)
		dst = append(dst, '\r', '\n')
	}
	if s.Direction != SendRecv {
		dst = append(append(append(dst, "a="...), s.Direction.String()...), '\r', '\n')
	}
	return dst
}

func (s *Section) appendLine(dst []byte) []byte {
	m, proto := s.From, s.Proto
	if proto == "" {
		proto = m.Proto
	}
	dst = append(append(dst, "m="...), m.Kind...)
	dst = strconv.AppendUint(append(dst, ' '), uint64(s.RTP), 10)
	dst = append(append(dst, ' '), proto...)
	if s.Terms.Payloads == nil {
		dst = append(append(dst, ' '), m.Formats...)
	}
	for _, f := range s.Terms.Payloads {
		dst = strconv.AppendUint(append(dst, ' '), uint64(f.PayloadType), 10)
	}
	return append(dst, '\r', '\n')
}

// FormatList returns the formats of the m-line as they are written.
func (s *Section) FormatList() string {
	if s.From == nil {
		return s.Formats
	}
	if s.Terms.Payloads == nil {
		return s.From.Formats
	}
	var b []byte
	for i, f := range s.Terms.Payloads {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendUint(b, uint64(f.PayloadType), 10)
	}
	return string(b)
}

// appendBody writes From's lines but for those that are ours to say.
func (s *Section) appendBody(dst []byte) []byte {
	for body := s.From.body; body != ""; {
		var line string
		line, body = nextLine(body)
		if len(line) < 2 || line[0] == 'c' || s.says(line) {
			continue
		}
		if _, dir := directionLine(line); !dir {
			dst = append(append(dst, line...), '\r', '\n')
		}
	}
	return dst
}

// says reports whether the section says itself what a line says.
func (s *Section) says(line string) bool {
	t := &s.Terms
	switch {
	case line[0] == 'b':
		return t.Bandwidth != 0
	case line[0] != 'a':
		return false
	case isKey(line):
		return !t.Through
	case strings.HasPrefix(line, "a=candidate:"):
		return !t.Direct
	case strings.HasPrefix(line, "a=remote-candidates:"):
		return !t.Chosen
	case ours(line):
		return true
	case strings.HasPrefix(line, "a=extmap:"):
		return strings.Contains(line, ExtMID)
	case strings.HasPrefix(line, "a=zrtp-hash:"):
		return t.NoZRTP || len(t.Crypto) > 0 || t.Fingerprint.Hash != ""
	}
	return t.Payloads != nil && s.dropped(line)
}

// dropped reports whether a line is of a payload type that is not written, or is written anew.
func (s *Section) dropped(line string) bool {
	for _, name := range [...]string{"a=rtpmap:", "a=fmtp:", "a=rtcp-fb:", "a=imageattr:"} {
		v, ok := strings.CutPrefix(line, name)
		if !ok {
			continue
		}
		if name == "a=rtpmap:" || name == "a=fmtp:" {
			return true
		}
		pt, _, _ := strings.Cut(v, " ")
		n, err := strconv.ParseUint(pt, 10, 7)
		return err == nil && !slices.ContainsFunc(s.Terms.Payloads, func(f Format) bool { return f.PayloadType == uint8(n) })
	}
	return false
}

// isKey reports whether a line says how packets are keyed.
func isKey(line string) bool {
	for _, prefix := range [...]string{"a=crypto:", "a=fingerprint:", "a=setup:", "a=connection:", "a=tls-id:", "a=key-mgmt:"} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

// append writes the terms.
func (t *Terms) append(dst []byte, from *Media) []byte {
	for i := range t.Payloads {
		dst = t.Payloads[i].append(dst)
	}
	dst = t.appendKeys(dst, from)
	if t.MID != "" {
		dst = append(append(append(dst, "a=mid:"...), t.MID...), '\r', '\n')
	}
	if t.MIDExt != 0 {
		dst = append(append(strconv.AppendUint(append(dst, "a=extmap:"...), uint64(t.MIDExt), 10), ' '), ExtMID+"\r\n"...)
	}
	if t.Mux {
		dst = append(dst, "a=rtcp-mux\r\n"...)
	}
	if t.Ufrag != "" {
		dst = append(append(append(dst, "a=ice-ufrag:"...), t.Ufrag...), '\r', '\n')
		dst = append(append(append(dst, "a=ice-pwd:"...), t.Pwd...), '\r', '\n')
		for i := range t.Candidates {
			dst = t.Candidates[i].append(dst)
		}
	}
	return dst
}

func (t *Terms) appendKeys(dst []byte, from *Media) []byte {
	for i := range t.Crypto {
		dst = t.Crypto[i].append(dst)
	}
	if t.Fingerprint.Hash != "" {
		dst = t.Fingerprint.append(dst)
	}
	if t.Setup != "" {
		dst = append(append(append(dst, "a=setup:"...), t.Setup...), '\r', '\n')
	}
	if !t.Through {
		return dst
	}
	for head := from.head; head != ""; { // what From says for the whole description, each m-line says
		var line string
		line, head = nextLine(head)
		name, _, _ := strings.Cut(line, ":")
		if _, own := lineValue(from.body, name+":"); isKey(line) && !own {
			dst = append(append(dst, line...), '\r', '\n')
		}
	}
	return dst
}

func (f *Format) append(dst []byte) []byte {
	dst = strconv.AppendUint(append(dst, "a=rtpmap:"...), uint64(f.PayloadType), 10)
	dst = append(append(append(dst, ' '), f.Encoding...), '/')
	dst = strconv.AppendUint(dst, uint64(f.ClockRate), 10)
	if f.Channels > 1 {
		dst = strconv.AppendUint(append(dst, '/'), uint64(f.Channels), 10)
	}
	dst = append(dst, '\r', '\n')
	if f.Params != "" {
		dst = strconv.AppendUint(append(dst, "a=fmtp:"...), uint64(f.PayloadType), 10)
		dst = append(append(append(dst, ' '), f.Params...), '\r', '\n')
	}
	return dst
}
