package checked

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/sip/aor"
	"github.com/coraltele/sanchar/pkg/sip/wire"
)

// Reply is what a response adds to what it repeats of its request.
type Reply struct {
	Code   int
	Reason string
	ToTag  string         // added where the request has none; "" for 100
	From   netip.AddrPort // where the request came from
	Header string         // further header lines, each with its end
	Extra  []byte         // the same, built for this reply
	Routes bool           // repeat Record-Route: the response makes a dialog (RFC 3261 §12.1.1)
	Body   []byte         // of ContentType
	Type   string
}

// AppendReply appends the response to this request (RFC 3261 §8.2.6.2). A request that was refused
// may lack fields: what it has is repeated.
func (m *Message) AppendReply(dst []byte, r *Reply) []byte {
	dst = append(dst, "SIP/2.0 "...)
	dst = strconv.AppendInt(dst, int64(r.Code), 10)
	dst = append(append(append(dst, ' '), r.Reason...), '\r', '\n')
	dst = m.appendVias(dst, r.From)
	if r.Routes {
		dst = m.appendLines(dst, wire.RecordRoute, "Record-Route: ")
	}
	dst = appendLine(dst, "From: ", m.FromText)
	if m.ToText != "" {
		dst = append(append(dst, "To: "...), m.ToText...)
		if m.ToTag == "" && r.ToTag != "" {
			dst = append(append(dst, ";tag="...), r.ToTag...)
		}
		dst = append(dst, '\r', '\n')
	}
	dst = appendLine(dst, "Call-ID: ", m.CallID)
	if v, ok := m.wire.Get(wire.CSeq); ok {
		dst = appendLine(dst, "CSeq: ", v)
	}
	dst = append(append(dst, r.Header...), r.Extra...)
	if len(r.Body) > 0 {
		dst = appendLine(dst, "Content-Type: ", r.Type)
	}
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(r.Body)), 10)
	return append(append(dst, "\r\n\r\n"...), r.Body...)
}

func appendLine(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return append(append(append(dst, name...), value...), '\r', '\n')
}

func (m *Message) appendLines(dst []byte, id wire.ID, name string) []byte {
	for i := range m.wire.Len() {
		if got, value := m.wire.Field(i); got == id {
			dst = appendLine(dst, name, value)
		}
	}
	return dst
}

// appendVias repeats all Via lines. The topmost tells the peer how we see it: received always
// (RFC 3581 §4 wants it with rport; else RFC 3261 §18.2.1 where it differs, which a reader can
// see for itself), rport where it is asked for.
func (m *Message) appendVias(dst []byte, from netip.AddrPort) []byte {
	first := true
	for i := range m.wire.Len() {
		id, value := m.wire.Field(i)
		if id != wire.Via {
			continue
		}
		dst = append(dst, "Via: "...)
		if first {
			one, rest := aor.NextAddress(value)
			dst = appendReceived(dst, one, from)
			if rest != "" {
				dst = append(append(dst, ", "...), rest...)
			}
			first = false
		} else {
			dst = append(dst, value...)
		}
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// appendReceived writes one Via value with our received and rport in place of any of the peer's.
func appendReceived(dst []byte, via string, from netip.AddrPort) []byte {
	head, params, _ := strings.Cut(via, ";")
	dst = append(dst, strings.TrimRight(head, " \t")...)
	rport := false
	for params != "" {
		before := params
		name, _, rest := aor.NextParam(params)
		one := strings.Trim(strings.TrimSuffix(before[:len(before)-len(rest)], ";"), " \t")
		params = rest
		switch {
		case strings.EqualFold(name, "rport"):
			rport = true
		case strings.EqualFold(name, "received"), one == "":
		default:
			dst = append(append(dst, ';'), one...)
		}
	}
	dst = append(dst, ";received="...)
	dst = from.Addr().Unmap().WithZone("").AppendTo(dst)
	if rport {
		dst = strconv.AppendUint(append(dst, ";rport="...), uint64(from.Port()), 10)
	}
	return dst
}

// AppendForward appends this request as a proxy hands it on (RFC 3261 §16.6 item 8): with via, a
// whole line, on top, and the peer's own hop completed by where it came from.
func (m *Message) AppendForward(dst []byte, via string, from netip.AddrPort) []byte {
	dst = append(append(dst, m.wire.Start()...), "\r\n"...)
	dst = append(dst, via...)
	dst = m.appendVias(dst, from)
	for i := range m.wire.Len() {
		if id, value := m.wire.Field(i); id != wire.Via && id != wire.ContentLength {
			dst = append(append(append(append(dst, m.wire.Name(i)...), ": "...), value...), "\r\n"...)
		}
	}
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(m.Body)), 10)
	return append(append(dst, "\r\n\r\n"...), m.Body...)
}
