package e2e

import (
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/testkit/capture"
)

// media checks what was on the wires of users who were in a call: packets go between each and the
// box only, media and reports both ways, on even ports of the box.
func (s *scene) media(users ...string) {
	s.t.Helper()
	for _, u := range users {
		h, tap := s.hosts[u], s.taps[u]
		for peer, example := range tap.Peers() {
			if peer != h.Box4 && peer != h.Box6 && !peer.IsMulticast() && !peer.IsLinkLocalUnicast() && !peer.IsUnspecified() {
				s.t.Errorf("%s speaks with %s: %s", u, peer, example)
			}
		}
		var rx, tx bool
		for stream := range tap.RTP() {
			rx = rx || stream.Dst.Addr() == h.V4
			tx = tx || stream.Src.Addr() == h.V4
		}
		if !rx || !tx {
			s.t.Errorf("media of %s: received %v, sent %v", u, rx, tx)
		}
		rx, tx = false, false
		for pair := range tap.RTCP() {
			rx = rx || pair[1].Addr() == h.V4
			tx = tx || pair[0].Addr() == h.V4
		}
		if !rx || !tx {
			s.t.Errorf("RTCP of %s: received %v, sent %v", u, rx, tx)
		}
	}
}

// signalling checks the SIP on a user's wire that is not encrypted: no final answer was sent
// twice, so every ACK arrived, and nothing names an address of another host.
func (s *scene) signalling(users ...string) map[string][]capture.SIP {
	s.t.Helper()
	all := map[string][]capture.SIP{}
	for _, u := range users {
		all[u] = s.taps[u].SIP()
		seen := map[string]int{}
		for _, m := range all[u] {
			if m.Code >= 200 && strings.HasSuffix(m.CSeq, " INVITE") {
				seen[m.Src.String()+m.CSeq+m.CallID+string(rune(m.Code))]++
			}
			for other, h := range s.hosts {
				if other != u && !strings.HasSuffix(m.CSeq, " REGISTER") && (strings.Contains(m.Body, h.V4.String()) || strings.Contains(m.Contact, h.V4.String())) {
					s.t.Errorf("%s is told an address of %s: %s %s %s", u, other, m, m.Contact, m.Body)
				}
			}
		}
		for what, n := range seen {
			if n > 1 {
				s.t.Errorf("on the wire of %s an answer was sent %d times: %s", u, n, what)
			}
		}
	}
	return all
}

// methods returns the requests that a user received, in order.
func methods(s *scene, user string, all []capture.SIP) (list []string) {
	for _, m := range all {
		if m.Method != "" && m.Dst == s.hosts[user].V4 {
			list = append(list, m.Method)
		}
	}
	return slices.Clip(list)
}
