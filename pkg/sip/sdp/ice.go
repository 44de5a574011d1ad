package sdp

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// maxCandidates bounds those of an m-line: a client with a few interfaces of both IP versions, each
// by STUN and TURN, for RTP and RTCP.
const maxCandidates = 40

// ErrCandidate is the error of a candidate that cannot be used: of no form, by TCP, or with a name
// in the place of an address.
var ErrCandidate = errors.New("not a candidate that can be used")

// Candidate is one way to a stream by UDP (RFC 8839 §5.1).
type Candidate struct {
	Foundation string
	Component  uint8 // 1 RTP, 2 RTCP
	Priority   uint32
	Addr       netip.AddrPort
	Type       string // "host", "srflx", "prflx", "relay"
	Related    netip.AddrPort
}

// ICE is what a party says of ICE for a stream. Without Ufrag it does not use it.
type ICE struct {
	Ufrag, Pwd string
	Lite       bool
	Candidates []Candidate
}

// ICE returns what the m-line says of ICE, with the credentials of the whole description where it
// has none of its own (RFC 8839 §5.4). Credentials that break the rules are none.
func (m *Media) ICE() (ice ICE) {
	ice.Ufrag, ice.Pwd = m.attribute("a=ice-ufrag:"), m.attribute("a=ice-pwd:")
	if !iceText(ice.Ufrag, 4) || !iceText(ice.Pwd, 22) {
		return ICE{}
	}
	_, ice.Lite = lineValue(m.head, "a=ice-lite")
	for text := m.body; text != "" && len(ice.Candidates) < maxCandidates; {
		var line string
		line, text = nextLine(text)
		if v, ok := strings.CutPrefix(line, "a=candidate:"); ok {
			if c, err := ParseCandidate(v); err == nil {
				ice.Candidates = append(ice.Candidates, c)
			}
		}
	}
	return ice
}

// iceText checks ice-chars of a length from least to 256 (RFC 8839 §5.4).
func iceText(s string, least int) bool {
	for i := range len(s) {
		if c := s[i]; (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '+' && c != '/' {
			return false
		}
	}
	return len(s) >= least && len(s) <= 256
}

// ParseCandidate reads the value of an a=candidate line (RFC 8839 §5.1).
func ParseCandidate(v string) (c Candidate, err error) {
	fields := strings.Fields(v)
	if len(fields) < 8 || fields[6] != "typ" || !strings.EqualFold(fields[2], "UDP") || !iceText(fields[0], 1) || len(fields[0]) > 32 {
		return c, ErrCandidate
	}
	component, err := strconv.ParseUint(fields[1], 10, 8)
	priority, priorityErr := strconv.ParseUint(fields[3], 10, 32)
	addr, ok := addrPort(fields[4], fields[5])
	if err != nil || priorityErr != nil || !ok || component == 0 || addr.Port() == 0 {
		return c, ErrCandidate
	}
	c = Candidate{Foundation: fields[0], Component: uint8(component), Priority: uint32(priority), Addr: addr, Type: fields[7]}
	switch c.Type {
	case "host", "srflx", "prflx", "relay":
	default:
		return Candidate{}, ErrCandidate
	}
	if len(fields) >= 12 && fields[8] == "raddr" && fields[10] == "rport" {
		c.Related, _ = addrPort(fields[9], fields[11]) // for people who look for faults
	}
	return c, nil
}

func addrPort(host, port string) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(host)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || a.IsMulticast() || a.Zone() != "" {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), true
}

func (c *Candidate) append(dst []byte) []byte {
	dst = append(append(append(dst, "a=candidate:"...), c.Foundation...), ' ')
	dst = append(strconv.AppendUint(dst, uint64(c.Component), 10), " UDP "...)
	dst = append(strconv.AppendUint(dst, uint64(c.Priority), 10), ' ')
	dst = append(c.Addr.Addr().AppendTo(dst), ' ')
	dst = append(strconv.AppendUint(dst, uint64(c.Addr.Port()), 10), " typ "...)
	dst = append(dst, c.Type...)
	if c.Related.IsValid() {
		dst = c.Related.Addr().AppendTo(append(dst, " raddr "...))
		dst = strconv.AppendUint(append(dst, " rport "...), uint64(c.Related.Port()), 10)
	}
	return append(dst, '\r', '\n')
}

// RemoteCandidates returns the addresses that a=remote-candidates names: those that its writer has
// found to work (RFC 8839 §5.2).
func (m *Media) RemoteCandidates() (addrs []netip.AddrPort) {
	v, _ := lineValue(m.body, "a=remote-candidates:")
	fields := strings.Fields(v)
	for i := 0; i+2 < len(fields) && len(addrs) < maxCandidates; i += 3 {
		if a, ok := addrPort(fields[i+1], fields[i+2]); ok {
			addrs = append(addrs, a)
		}
	}
	return addrs
}
