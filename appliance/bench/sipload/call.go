package sipload

import (
	"bytes"
	"strconv"
)

// beginCall sends the first INVITE.
func (l *Load) beginCall(s *slot) {
	s.step, s.cseq, s.callee = stepChallenge, 1, calleeIdle
	s.rung, s.over = false, false
	s.to, s.routes, s.target = s.to[:0], s.routes[:0], append(s.target[:0], l.calleeURI(s)...)
	l.sendRequest(s, l.appendInvite(l.buf[:0], s, false))
}

func (l *Load) calleeURI(s *slot) string {
	return "sip:" + l.users[s.peer].name + "@" + l.cfg.Domain
}

// appendHead appends what all requests of the caller's dialog have in common.
func (l *Load) appendHead(b []byte, s *slot, method string, n uint32) []byte {
	u := &l.users[s.user]
	b = append(append(append(append(b, method...), ' '), s.target...), " SIP/2.0\r\n"...)
	b = l.appendVia(b, s, n)
	b = append(append(b, s.routes...), "Max-Forwards: 70\r\nFrom: <sip:"...)
	b = append(append(append(append(b, u.name...), '@'), l.cfg.Domain...), ">;tag=c"...)
	b = strconv.AppendUint(b, uint64(s.serial), 36)
	b = append(b, "\r\nTo: "...)
	if len(s.to) > 0 {
		b = append(b, s.to...)
	} else {
		b = append(append(append(append(append(b, "<sip:"...), l.users[s.peer].name...), '@'), l.cfg.Domain...), '>')
	}
	b = strconv.AppendUint(append(b, "\r\nCall-ID: c"...), uint64(s.serial), 36)
	b = append(append(append(b, '.'), u.name...), "\r\nCSeq: "...)
	b = strconv.AppendUint(b, uint64(s.cseq), 10)
	return append(append(append(b, ' '), method...), "\r\n"...)
}

func (l *Load) appendInvite(b []byte, s *slot, credentials bool) []byte {
	u := &l.users[s.user]
	b = l.appendHead(b, s, "INVITE", s.cseq)
	b = l.appendContact(b, u)
	if credentials {
		b = u.appendCredentials(b, "Proxy-Authorization", "INVITE", l.calleeURI(s), l.cfg.Domain)
	}
	b = append(b, "User-Agent: sipload\r\nAllow: INVITE, ACK, BYE, CANCEL\r\n"...)
	return l.appendSDP(b, s.user)
}

// Each user has a media port of his own; nothing listens there.
const (
	firstMediaPort = 33_000
	mediaPorts     = 16_000
)

func (l *Load) mediaPort(user int32) int { return firstMediaPort + 2*(int(user)%mediaPorts) }

// appendSDP appends the headers and the body of an offer or an answer.
func (l *Load) appendSDP(b []byte, user int32) []byte {
	const (
		head = "v=0\r\no=load 1 1 IN IP4 "
		more = "s=call\r\nc=IN IP4 "
		port = "t=0 0\r\nm=audio "
		tail = " RTP/AVP 9 8 0 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n" +
			"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
	)
	const digits = 5 // of all media ports
	b = append(b, "Content-Type: application/sdp\r\nContent-Length: "...)
	size := len(head) + len(more) + len(port) + len(tail) + 2*len(l.phones) + digits
	b = append(strconv.AppendInt(b, int64(size), 10), "\r\n\r\n"...)
	b = append(append(append(append(b, head...), l.phones...), more...), l.phones...)
	b = strconv.AppendInt(append(b, port...), int64(l.mediaPort(user)), 10)
	return append(b, tail...)
}

// callResponse takes a response to the caller.
func (l *Load) callResponse(s *slot) {
	m := &l.m
	switch {
	case m.method == "BYE":
		l.byeAnswered(s)
	case m.method != "INVITE":
		l.unexpected(s)
	case m.seq != s.cseq:
		l.repeated.Add(1)
	case s.step == stepUp || s.step == stepBye || s.step == stepHeld:
		l.repeated.Add(1) // of the 200, or a 1xx that was overtaken
	case m.status == 100:
	case m.status == 407 && s.step == stepChallenge:
		l.inviteAgain(s)
	case m.status == 180 && s.rung:
		l.repeated.Add(1)
	case m.status == 180 && s.step == stepFinal && s.callee == calleeRinging:
		s.rung = true
		l.answerCall(s)
	case m.status == 200 && s.step == stepFinal && s.callee >= calleeAnswered:
		l.answered(s)
	default:
		l.unexpected(s)
	}
}

func (l *Load) unexpected(s *slot) {
	l.fail("call of %s wants %s, callee at %d: %q", l.users[s.user].name, s.step, s.callee, l.m.text)
}

// inviteAgain answers the challenge of an INVITE.
func (l *Load) inviteAgain(s *slot) {
	m, u := &l.m, &l.users[s.user]
	u.learn(m.nonce)
	s.to = append(s.to[:0], m.to...)
	b := l.appendHead(l.buf[:0], s, "ACK", s.cseq) // RFC 3261 §17.1.1.3: in the INVITE's transaction, so with its branch
	b = append(b, "Content-Length: 0\r\n\r\n"...)
	l.buf = b[:0]
	l.road.send(int(s.user), b)
	s.to = s.to[:0]
	s.cseq++
	s.step = stepFinal
	l.sendRequest(s, l.appendInvite(l.buf[:0], s, true))
}

// direct reports whether the SDP at hand leads to a phone and not to the server.
func (l *Load) direct() bool {
	_, address, ok := bytes.Cut(l.m.body, []byte("c=IN IP4 "))
	return !ok || bytes.HasPrefix(address, l.phones)
}

// answered takes the 200 and acknowledges it.
func (l *Load) answered(s *slot) {
	m := &l.m
	if len(m.contact) == 0 {
		l.unexpected(s)
		return
	}
	if l.cfg.Relayed && l.direct() {
		l.fail("media of the answer does not go through the server: %q", m.text)
		return
	}
	s.to = append(s.to[:0], m.to...)
	s.target = append(s.target[:0], m.contact...)
	for i := m.recorded - 1; i >= 0; i-- { // RFC 3261 §12.1.2: in reverse order
		s.routes = append(append(append(s.routes, "Route: "...), m.record[i]...), "\r\n"...)
	}
	b := l.appendHead(l.buf[:0], s, "ACK", s.cseq+1) // RFC 3261 §13.2.2.4: a transaction of its own
	b = append(b, "Content-Length: 0\r\n\r\n"...)
	s.step = stepUp
	l.sendRequest(s, b)
	l.upAtBoth(s)
}

// upAtBoth goes on when the caller has sent and the callee has got the ACK.
func (l *Load) upAtBoth(s *slot) {
	switch {
	case s.step != stepUp || s.callee != calleeUp:
	case l.op == Hold:
		s.step = stepHeld
		l.held = append(l.held, s.id)
		l.completed()
	default:
		l.sendBye(s)
	}
}

func (l *Load) beginHangUp() bool {
	if len(l.held) == 0 {
		return false
	}
	s := &l.slots[l.held[len(l.held)-1]]
	l.held = l.held[:len(l.held)-1]
	l.begun++
	l.active++
	l.sendBye(s)
	return true
}

func (l *Load) sendBye(s *slot) {
	s.cseq++
	s.step = stepBye
	b := l.appendHead(l.buf[:0], s, "BYE", s.cseq+1)
	l.sendRequest(s, append(b, "Content-Length: 0\r\n\r\n"...))
}

func (l *Load) byeAnswered(s *slot) {
	switch {
	case l.m.status != 200 || s.step != stepBye:
		l.unexpected(s)
	case s.over:
		l.repeated.Add(1)
	default:
		s.over = true
		l.overAtBoth(s)
	}
}

func (l *Load) overAtBoth(s *slot) {
	if s.over && s.callee == calleeEnded {
		l.finish(s)
	}
}
