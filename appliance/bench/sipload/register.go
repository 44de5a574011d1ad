package sipload

import (
	"strconv"
)

// beginRegister sends the first REGISTER of an operation.
func (l *Load) beginRegister(s *slot) {
	u := &l.users[s.user]
	switch {
	case l.op == Restart:
		u.start++
		u.nonce = u.nonce[:0]
	case l.op == Register:
		u.nonce = u.nonce[:0]
	}
	s.challenged = false
	l.sendRegister(s, u)
}

// sendRegister sends a REGISTER, with credentials if the user has a nonce.
func (l *Load) sendRegister(s *slot, u *user) {
	u.cseq++
	s.cseq = u.cseq
	b := append(append(append(l.buf[:0], "REGISTER sip:"...), l.cfg.Domain...), " SIP/2.0\r\n"...)
	b = l.appendVia(b, s, s.cseq)
	b = append(b, "Max-Forwards: 70\r\nFrom: <sip:"...)
	b = append(append(append(append(b, u.name...), '@'), l.cfg.Domain...), ">;tag=r"...)
	b = strconv.AppendUint(b, uint64(u.start), 36)
	b = append(append(b, "\r\nTo: <sip:"...), u.name...)
	b = append(append(append(b, '@'), l.cfg.Domain...), ">\r\nCall-ID: r"...)
	b = strconv.AppendUint(b, uint64(u.start), 36)
	b = append(append(append(b, '.'), u.name...), "\r\nCSeq: "...)
	b = append(strconv.AppendUint(b, uint64(s.cseq), 10), " REGISTER\r\n"...)
	b = l.appendContact(b, u)
	s.step = stepChallenge
	if len(u.nonce) > 0 {
		s.step = stepFinal
		b = u.appendCredentials(b, "Authorization", "REGISTER", "sip:"+l.cfg.Domain, l.cfg.Domain)
	}
	b = append(b, "User-Agent: sipload\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n"...)
	l.sendRequest(s, b)
}

// sendRequest sends a request and keeps it for another try.
func (l *Load) sendRequest(s *slot, b []byte) {
	l.buf = b[:0]
	s.last = append(s.last[:0], b...)
	s.sent, s.tries = l.now, 0
	l.road.send(int(s.user), b)
}

// registered takes a response to a REGISTER.
func (l *Load) registered(s *slot) {
	u := &l.users[s.user]
	switch m := &l.m; {
	case m.seq != s.cseq:
		l.repeated.Add(1)
	case m.status == 401 && !s.challenged && (s.step == stepChallenge || l.op == Refresh):
		if s.step == stepFinal {
			l.stale.Add(1)
		}
		s.challenged = true
		u.learn(m.nonce)
		l.sendRegister(s, u)
	case m.status == 200 && s.step == stepFinal:
		if m.contacts != 1 {
			l.fail("%s has %d contacts, not one: %q", u.name, m.contacts, m.text)
			return
		}
		l.finish(s)
	default:
		l.fail("%s of %s wants %s: %q", l.op, u.name, s.step, m.text)
	}
}
