package sdp

import (
	"net/netip"
	"strconv"
	"strings"
)

// Origin is the o-line that we write: the same session towards one peer, a version that grows
// with each change (RFC 3264 §8).
type Origin struct {
	ID      uint64
	Version uint64
	Addr    netip.Addr // of ours: the whole description's connection address
}

// Section is one m-line to write. With From it describes that stream, at our ports. Without, it
// keeps the place of a stream that is no more (RFC 3264 §8.2): Kind, Proto and Formats say of what.
type Section struct {
	From      *Media
	RTP, RTCP uint16 // ours; RTP 0 refuses the stream
	Direction Direction

	Kind, Proto, Formats string
}

// Append writes a description that carries what src's streams say to another leg.
func Append(dst []byte, src *Session, o Origin, sections []Section) []byte {
	dst = append(dst, "v=0\r\no=- "...)
	dst = strconv.AppendUint(dst, o.ID, 10)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, o.Version, 10)
	dst = append(dst, ' ')
	dst = appendConnection(dst, o.Addr)
	dst = append(dst, '\r', '\n')
	dst = appendHead(dst, src.head, o.Addr)
	for i := range sections {
		dst = sections[i].append(dst)
	}
	return dst
}

func appendConnection(dst []byte, a netip.Addr) []byte {
	if a.Is4() {
		dst = append(dst, "IN IP4 "...)
	} else {
		dst = append(dst, "IN IP6 "...)
	}
	return a.WithZone("").AppendTo(dst)
}

// appendHead writes the session's lines but for those that are ours to say. The c-line stands
// before b, t and a (RFC 8866 §5), and t must be there.
func appendHead(dst []byte, head string, addr netip.Addr) []byte {
	name, timed, connected := "s=-", false, false
	if v, ok := lineValue(head, "s="); ok && v != "" {
		name = "s=" + v
	}
	dst = append(append(dst, name...), '\r', '\n')
	for head != "" {
		var line string
		line, head = nextLine(head)
		if len(line) < 2 || strings.IndexByte("vosc", line[0]) >= 0 || ours(line) {
			continue
		}
		if _, dir := directionLine(line); dir {
			continue // each m-line says its own
		}
		if !connected && strings.IndexByte("iuep", line[0]) < 0 {
			dst, connected = appendC(dst, addr), true
		}
		if line[0] == 't' {
			timed = true
		} else if !timed && line[0] != 'b' && strings.IndexByte("iuep", line[0]) < 0 {
			dst, timed = append(dst, "t=0 0\r\n"...), true
		}
		dst = append(append(dst, line...), '\r', '\n')
	}
	if !connected {
		dst = appendC(dst, addr)
	}
	if !timed {
		dst = append(dst, "t=0 0\r\n"...)
	}
	return dst
}

func appendC(dst []byte, addr netip.Addr) []byte {
	dst = append(dst, "c="...)
	return append(appendConnection(dst, addr), '\r', '\n')
}

// ours reports whether a line says how to reach its writer, or promises what the box between
// cannot keep: candidates lead around it (RFC 8839 §5), bundles share a port that we do not
// (RFC 9143 §5).
func ours(line string) bool {
	for _, prefix := range [...]string{
		"a=candidate:", "a=ice-", "a=remote-candidates:", "a=end-of-candidates", "a=rtcp:", "a=group:BUNDLE", "a=bundle-only", "a=nortpproxy",
	} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

func (s *Section) append(dst []byte) []byte {
	if s.From == nil {
		dst = append(dst, "m="+s.Kind+" 0 "+s.Proto+" "+s.Formats...)
		return append(dst, '\r', '\n')
	}
	m := s.From
	dst = append(append(dst, "m="...), m.Kind...)
	dst = strconv.AppendUint(append(dst, ' '), uint64(s.RTP), 10)
	dst = append(append(dst, ' '), m.Proto...)
	dst = append(append(dst, ' '), m.Formats...)
	dst = append(dst, '\r', '\n')
	if s.RTP == 0 {
		return dst
	}
	dst = appendBody(dst, m.body)
	if !m.Mux && s.RTCP != s.RTP+1 && s.RTCP != 0 {
		dst = strconv.AppendUint(append(dst, "a=rtcp:"...), uint64(s.RTCP), 10)
		dst = append(dst, '\r', '\n')
	}
	if s.Direction != SendRecv {
		dst = append(append(append(dst, "a="...), s.Direction.String()...), '\r', '\n')
	}
	return dst
}

func appendBody(dst []byte, body string) []byte {
	for body != "" {
		var line string
		line, body = nextLine(body)
		if len(line) < 2 || line[0] == 'c' || ours(line) {
			continue
		}
		if _, dir := directionLine(line); !dir {
			dst = append(append(dst, line...), '\r', '\n')
		}
	}
	return dst
}
