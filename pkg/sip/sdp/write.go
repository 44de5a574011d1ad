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
	Lite    bool       // we answer connectivity checks and make none (RFC 8839 §5.3)
	Bundle  []string   // MIDs of the m-lines that share a port (RFC 9143 §7.2)
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
	if o.Lite {
		dst = append(dst, "a=ice-lite\r\n"...)
	}
	if len(o.Bundle) > 0 {
		dst = append(append(append(dst, "a=group:BUNDLE "...), strings.Join(o.Bundle, " ")...), '\r', '\n')
	}
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
		if len(line) < 2 || strings.IndexByte("vosc", line[0]) >= 0 || ours(line) || isKey(line) || strings.HasPrefix(line, "a=extmap:") && strings.Contains(line, ExtMID) {
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

// ours reports whether a line says how to reach its writer, or promises what each leg agrees on
// for itself: candidates (RFC 8839 §5), bundles and their names (RFC 9143 §5), ports that RTCP
// shares with RTP (RFC 5761 §5.1).
func ours(line string) bool {
	for _, prefix := range [...]string{
		"a=candidate:", "a=ice-", "a=remote-candidates:", "a=end-of-candidates", "a=rtcp:", "a=rtcp-mux", "a=group:", "a=mid:",
		"a=bundle-only", "a=nortpproxy",
	} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}
