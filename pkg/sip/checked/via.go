package checked

import (
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/sip/aor"
	"github.com/coraltele/sanchar/pkg/sip/wire"
)

// Cookie starts every branch that is unique in space and time (RFC 3261 §8.1.1.7).
const Cookie = "z9hG4bK"

// Via is one hop of a message.
type Via struct {
	Transport string // as written
	Host      string
	Port      uint16 // 0: none given
	Branch    string // "" or the cookie alone: the peer is of RFC 2543
	RPort     bool   // the peer asks for its port (RFC 3581 §3)
	Params    string
}

// parseVia reads "SIP/2.0/UDP host:port;params", with white space wherever RFC 3261 §25.1 has it.
func parseVia(s string) (v Via, ok bool) {
	rest := s
	for i := range 3 {
		var part string
		if i < 2 {
			if part, rest, ok = strings.Cut(rest, "/"); !ok {
				return v, false
			}
			if part = strings.TrimSpace(part); i == 0 && !strings.EqualFold(part, "SIP") || !wire.IsToken(part) {
				return v, false
			}
			continue
		}
		rest = strings.TrimLeft(rest, " \t")
		end := strings.IndexAny(rest, " \t")
		if end < 0 || !wire.IsToken(rest[:end]) {
			return v, false
		}
		v.Transport, rest = rest[:end], strings.TrimLeft(rest[end:], " \t")
	}
	return v, v.parseSentBy(rest)
}

func (v *Via) parseSentBy(s string) bool {
	sentBy, params, has := strings.Cut(s, ";")
	sentBy = strings.TrimRight(sentBy, " \t")
	host, port, ok := splitSentBy(sentBy)
	if !ok || (has && !validViaParams(params)) {
		return false
	}
	v.Host, v.Port, v.Params = host, port, params
	v.Branch, _ = aor.Param(params, "branch")
	_, v.RPort = aor.Param(params, "rport")
	return true
}

func splitSentBy(s string) (host string, port uint16, ok bool) {
	host = s
	if at := strings.LastIndexByte(s, ':'); at >= 0 && !strings.HasSuffix(s, "]") {
		n, err := strconv.ParseUint(strings.Trim(s[at+1:], " \t"), 10, 16)
		if err != nil || n == 0 {
			return "", 0, false
		}
		host, port = strings.TrimRight(s[:at], " \t"), uint16(n)
	}
	return host, port, aor.ValidHost(host)
}

func validViaParams(params string) bool {
	for rest := params; ; {
		var name string
		name, _, rest = aor.NextParam(rest)
		if !wire.IsToken(name) {
			return false
		}
		if rest == "" {
			return !strings.HasSuffix(strings.TrimRight(params, " \t"), ";")
		}
	}
}

// checkVias reads all hops: the topmost is kept, the others must be well-formed.
func (m *Message) checkVias() bool {
	for i := range m.wire.Len() {
		id, list := m.wire.Field(i)
		if id != wire.Via {
			continue
		}
		for {
			var one string
			one, list = aor.NextAddress(list)
			v, ok := parseVia(one)
			if !ok {
				return false
			}
			if m.Hops == 0 {
				m.Via = v
			}
			m.Hops++
			if list == "" {
				break
			}
		}
	}
	return m.Hops > 0 && m.Hops <= maxHops
}

// EachBranch calls yield for the branch of every hop until it returns false: a branch of ours in a
// request means that it has been here before (RFC 3261 §16.3 item 4).
func (m *Message) EachBranch(yield func(branch string) bool) {
	for i := range m.wire.Len() {
		id, list := m.wire.Field(i)
		for id == wire.Via && list != "" {
			var one string
			one, list = aor.NextAddress(list)
			if v, ok := parseVia(one); ok && !yield(v.Branch) {
				return
			}
		}
	}
}

// TopBranch returns the branch of the topmost hop. It may be asked before Check.
func (m *Message) TopBranch() string {
	value, _ := m.wire.Get(wire.Via)
	one, _ := aor.NextAddress(value)
	v, _ := parseVia(one)
	return v.Branch
}
