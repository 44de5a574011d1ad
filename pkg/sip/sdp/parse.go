// Package sdp reads the session descriptions of one leg of a call and writes those of another:
// addresses and ports are ours, codecs and all else pass as they came (RFC 8866, RFC 3264).
package sdp

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// MaxMedia is the most m-lines that we take: an app offers audio, video, and a screen or two.
const MaxMedia = 8

// MaxSize is the longest description that we read: a browser's with many candidates has 8 kB.
const MaxSize = 32 << 10

// Errors of a description. Each is answered 488, or 400 where it is no SDP at all.
var (
	ErrSyntax    = errors.New("not a session description")
	ErrTooLong   = errors.New("session description is too long")
	ErrTooMany   = errors.New("too many m-lines")
	ErrNoAddress = errors.New("an m-line has no connection address")
	ErrMulticast = errors.New("a connection address is multicast or broadcast")
)

// Direction of a stream, seen from who wrote the description (RFC 8866 §6.7).
type Direction uint8

// The directions, as bits: who sends, who receives.
const (
	Inactive Direction = 0
	SendOnly Direction = 1
	RecvOnly Direction = 2
	SendRecv Direction = 3
)

// String returns the name of the attribute.
func (d Direction) String() string {
	return [...]string{"inactive", "sendonly", "recvonly", "sendrecv"}[d&3]
}

// Reverse returns the direction as the other side sees it.
func (d Direction) Reverse() Direction { return d>>1&1 | d<<1&2 }

// Session is a parsed description. Its texts are parts of what was parsed.
type Session struct {
	Origin string // the o-line's value: it changes when the description does (RFC 3264 §8)
	Media  []Media

	head string // the lines before the first m-line
}

// Media is one m-line and what follows it.
type Media struct {
	Kind      string     // "audio", "video", "image", ...
	Port      uint16     // 0: refused or taken away (RFC 3264 §6, §8.2)
	Proto     string     // "RTP/AVP", "UDP/TLS/RTP/SAVPF", ...
	Formats   string     // payload types, separated by spaces
	Addr      netip.Addr // zero where a host name stands or an old-style hold 0.0.0.0
	RTCP      netip.AddrPort
	Mux       bool
	Direction Direction

	head string // the lines before the first m-line
	body string // the lines after the m-line
}

// Parse reads a description.
func Parse(text string) (*Session, error) {
	if len(text) > MaxSize {
		return nil, ErrTooLong
	}
	if !strings.HasPrefix(text, "v=0\r\n") && !strings.HasPrefix(text, "v=0\n") {
		return nil, ErrSyntax
	}
	s := &Session{}
	head, rest := cutAtMedia(text)
	s.head = head
	origin, ok := lineValue(head, "o=")
	if !ok || len(strings.Fields(origin)) != 6 {
		return nil, ErrSyntax
	}
	s.Origin = origin
	addr, err := connection(head)
	if err != nil {
		return nil, err
	}
	if _, ok := lineValue(head, "c="); !ok && !everyMediaConnects(rest) {
		return nil, ErrNoAddress // RFC 8866 §5.7
	}
	dir, _ := direction(head)
	if v, ok := lineValue(head, "c="); ok && strings.HasSuffix(v, " 0.0.0.0") {
		dir &^= RecvOnly // RFC 3264 §8.4: the hold of old clients
	}
	for rest != "" {
		if len(s.Media) == MaxMedia {
			return nil, ErrTooMany
		}
		var m Media
		if m, rest, err = parseMedia(rest, Media{Addr: addr, Direction: dir, head: head}); err != nil {
			return nil, err
		}
		s.Media = append(s.Media, m)
	}
	return s, nil
}

// cutAtMedia splits text before its first m-line, or after all of it.
func cutAtMedia(text string) (before, from string) {
	if strings.HasPrefix(text, "m=") {
		return "", text
	}
	if i := strings.Index(text, "\nm="); i >= 0 {
		return text[:i+1], text[i+1:]
	}
	return text, ""
}

// nextLine splits the first line off.
func nextLine(text string) (line, rest string) {
	line, rest, _ = strings.Cut(text, "\n")
	return strings.TrimSuffix(line, "\r"), rest
}

func lineValue(text, prefix string) (string, bool) {
	for text != "" {
		var line string
		line, text = nextLine(text)
		if strings.HasPrefix(line, prefix) {
			return line[len(prefix):], true
		}
	}
	return "", false
}

// everyMediaConnects reports whether each m-line in use has a c-line of its own.
func everyMediaConnects(text string) bool {
	for text != "" {
		line, after := nextLine(text)
		var body string
		body, text = cutAtMedia(after)
		fields := strings.Fields(line)
		if _, ok := lineValue(body, "c="); !ok && len(fields) > 1 && fields[1] != "0" {
			return false
		}
	}
	return true
}

// parseMedia reads the first m-line of text, to which what m says of the whole description applies.
func parseMedia(text string, m Media) (_ Media, rest string, err error) {
	line, after := nextLine(text)
	m.body, rest = cutAtMedia(after)
	fields := strings.SplitN(line[2:], " ", 4)
	if len(fields) < 4 || fields[0] == "" || fields[3] == "" {
		return m, "", ErrSyntax
	}
	port, _, _ := strings.Cut(fields[1], "/") // RFC 8866 §5.14: a count of ports, which nobody uses for RTP
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return m, "", ErrSyntax
	}
	m.Kind, m.Port, m.Proto, m.Formats = fields[0], uint16(n), fields[2], fields[3]
	if _, own := lineValue(m.body, "c="); own {
		if m.Addr, err = connection(m.body); err != nil {
			return m, "", err
		}
	}
	if err := m.readAttributes(); err != nil {
		return m, "", err
	}
	return m, rest, nil
}

// connection reads the first c-line: zero where there is none, where a host name stands, and for
// the old hold of RFC 3264 §8.4, c=0.0.0.0.
func connection(text string) (netip.Addr, error) {
	v, ok := lineValue(text, "c=")
	if !ok {
		return netip.Addr{}, nil
	}
	fields := strings.Fields(v)
	if len(fields) != 3 || fields[0] != "IN" {
		return netip.Addr{}, ErrSyntax
	}
	host, _, _ := strings.Cut(fields[2], "/") // TTL of multicast
	return checkAddr(host)
}

func checkAddr(host string) (netip.Addr, error) {
	a, err := netip.ParseAddr(host)
	switch {
	case err != nil, a.IsUnspecified():
		return netip.Addr{}, nil //nolint:nilerr // a host name: the media tells where it comes from
	case a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return netip.Addr{}, ErrMulticast
	}
	return a.Unmap(), nil
}

// readAttributes takes the attributes that the relay needs out of the m-line's body.
func (m *Media) readAttributes() error {
	if d, ok := direction(m.body); ok {
		m.Direction = d
	}
	if v, ok := lineValue(m.body, "c="); ok && strings.HasSuffix(v, " 0.0.0.0") && m.attribute("a=ice-ufrag:") == "" {
		m.Direction &^= RecvOnly // RFC 3264 §8.4: the hold of old clients; with ICE, candidates follow (RFC 8840 §4.1.1)
	}
	rtcp := ""
	for text := m.body; text != ""; {
		var line string
		line, text = nextLine(text)
		switch {
		case line == "a=rtcp-mux":
			m.Mux = true
		case strings.HasPrefix(line, "a=rtcp:"):
			rtcp = line[len("a=rtcp:"):]
		}
	}
	return m.setRTCP(rtcp)
}

// setRTCP reads a=rtcp (RFC 3605 §2.1); without it RTCP goes to the next port (RFC 3550 §11).
func (m *Media) setRTCP(v string) error {
	addr, port := m.Addr, m.Port
	switch {
	case m.Port == 0 || !m.Addr.IsValid():
		return nil
	case m.Mux:
	case v == "":
		port++
	default:
		fields := strings.Fields(v)
		if len(fields) == 0 {
			return ErrSyntax
		}
		n, err := strconv.ParseUint(fields[0], 10, 16)
		if err != nil {
			return ErrSyntax
		}
		port = uint16(n)
		if len(fields) == 4 {
			a, err := checkAddr(fields[3])
			if err != nil {
				return err
			}
			if a.IsValid() {
				addr = a
			}
		}
	}
	m.RTCP = netip.AddrPortFrom(addr, port)
	return nil
}

func direction(text string) (d Direction, ok bool) {
	for text != "" {
		var line string
		line, text = nextLine(text)
		if d, ok = directionLine(line); ok {
			return d, true
		}
	}
	return SendRecv, false
}

func directionLine(line string) (Direction, bool) {
	switch line {
	case "a=sendrecv":
		return SendRecv, true
	case "a=sendonly":
		return SendOnly, true
	case "a=recvonly":
		return RecvOnly, true
	case "a=inactive":
		return Inactive, true
	}
	return SendRecv, false
}

// RTP returns where the party receives; not valid where it has not said so.
func (m *Media) RTP() netip.AddrPort {
	if m.Port == 0 || !m.Addr.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(m.Addr, m.Port)
}

// Live reports whether the m-line is in use.
func (m *Media) Live() bool { return m.Port != 0 }

// Relayed reports whether the stream is one that the relay carries: RTP of any profile, or fax.
func (m *Media) Relayed() bool {
	return strings.Contains(m.Proto, "RTP/") || strings.EqualFold(m.Proto, "udptl")
}

// Secure reports whether the packets are SRTP, so that the relay cannot read RTCP bodies. Linphone
// also offers RTP/AVP with a=crypto (RFC 4568, tolerated).
func (m *Media) Secure() bool {
	return strings.Contains(m.Proto, "SAVP") || strings.Contains(m.body, "a=crypto:") || strings.Contains(m.body, "a=fingerprint:")
}
