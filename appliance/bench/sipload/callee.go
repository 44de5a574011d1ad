package sipload

import (
	"bytes"
	"strconv"
)

// calleeRequest takes a request to a callee's phone.
func (l *Load) calleeRequest() {
	m := &l.m
	s := l.calleeSlot()
	switch {
	case s == nil && m.method == "ACK":
		l.repeated.Add(1)
	case s == nil:
		l.repeated.Add(1) // of a call that is over
		l.buf = l.appendAnswer(l.buf[:0], "481 Call/Transaction Does Not Exist")
		l.road.send(l.userOf(m.uri), l.buf)
	case m.method == "INVITE":
		l.ring(s)
	case m.method == "ACK":
		l.acknowledged(s)
	case m.method == "BYE":
		l.hungUp(s)
	default:
		l.unexpected(s)
	}
}

// userOf finds the user whom a Request-URI names: "sip:u000001@...".
func (l *Load) userOf(uri []byte) int {
	at := bytes.IndexByte(uri, '@')
	if at < 6 {
		return 0
	}
	n, err := strconv.Atoi(string(uri[at-6 : at]))
	if i := n - l.cfg.First; err == nil && 0 <= i && i < len(l.users) {
		return i
	}
	return 0
}

func (l *Load) calleeSlot() *slot {
	i := l.userOf(l.m.uri)
	id := l.users[i].slot
	if id == idle || l.slots[id].peer != int32(i) || l.slots[id].step < stepFinal {
		return nil
	}
	return &l.slots[id]
}

// appendAnswer appends a response without a body to the request at hand.
func (l *Load) appendAnswer(b []byte, status string) []byte {
	m := &l.m
	b = append(append(append(b, "SIP/2.0 "...), status...), "\r\n"...)
	for _, line := range m.mirrored[:m.mirrors] {
		b = append(b, line...)
	}
	return append(b, "Content-Length: 0\r\n\r\n"...)
}

// ring answers an INVITE with 180 and keeps what the 200 will need.
func (l *Load) ring(s *slot) {
	m := &l.m
	if s.callee != calleeIdle {
		l.repeated.Add(1)
		l.road.send(int(s.peer), s.calleeLast)
		return
	}
	if l.cfg.Relayed && l.direct() {
		l.fail("media of the offer does not go through the server: %q", m.text)
		return
	}
	s.callee = calleeRinging
	s.head = s.head[:0]
	for _, line := range m.mirrored[:m.mirrors] {
		s.head = append(s.head, line...)
		if line[0]|0x20 == 't' { // To gets our tag
			s.head = strconv.AppendUint(append(s.head[:len(s.head)-2], ";tag=e"...), uint64(s.serial), 36)
			s.head = append(s.head, "\r\n"...)
		}
	}
	for i := range m.recorded { // RFC 3261 §12.1.1
		s.head = append(append(append(s.head, "Record-Route: "...), m.record[i]...), "\r\n"...)
	}
	s.head = l.appendContact(s.head, &l.users[s.peer])
	l.sendAnswer(s, append(append(append(l.buf[:0], "SIP/2.0 180 Ringing\r\n"...), s.head...), "Content-Length: 0\r\n\r\n"...))
}

func (l *Load) sendAnswer(s *slot, b []byte) {
	l.buf = b[:0]
	s.calleeLast = append(s.calleeLast[:0], b...)
	l.road.send(int(s.peer), b)
}

// answerCall answers, now that the caller has heard the ringing.
func (l *Load) answerCall(s *slot) {
	s.callee = calleeAnswered
	b := append(append(append(l.buf[:0], "SIP/2.0 200 OK\r\n"...), s.head...), "Allow: INVITE, ACK, BYE, CANCEL\r\n"...)
	l.sendAnswer(s, l.appendSDP(b, s.peer))
}

func (l *Load) acknowledged(s *slot) {
	switch s.callee {
	case calleeAnswered:
		s.callee = calleeUp
		l.upAtBoth(s)
	case calleeUp, calleeEnded:
		l.repeated.Add(1)
	default:
		l.unexpected(s)
	}
}

func (l *Load) hungUp(s *slot) {
	if s.callee != calleeUp && s.callee != calleeEnded || s.step != stepBye {
		l.unexpected(s)
		return
	}
	if s.callee == calleeEnded {
		l.repeated.Add(1)
	}
	s.callee = calleeEnded
	l.sendAnswer(s, l.appendAnswer(l.buf[:0], "200 OK"))
	l.overAtBoth(s)
}
