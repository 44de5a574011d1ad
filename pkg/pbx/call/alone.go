package call

import (
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/sip/checked"
	"github.com/coraltele/sanchar/pkg/sip/sdp"
)

// voice is what we have said on a leg.
type voice struct {
	text   []byte
	origin sdp.Origin
	layout []mline
	order  []int
}

func (l *Leg) voice() voice {
	return voice{l.ourText, l.origin, append([]mline(nil), l.layout...), append([]int(nil), l.order...)}
}

func (l *Leg) setVoice(v voice) {
	l.ourText, l.origin, l.layout, l.order = v.text, v.origin, v.layout, v.order
}

// sameButKeys reports whether two descriptions of ours differ only in what each leg has for itself:
// version, keys, credentials and candidates.
func sameButKeys(a, b string) bool {
	for a != "" || b != "" {
		var one, two string
		one, a = nextOther(a)
		two, b = nextOther(b)
		if one != two {
			return false
		}
	}
	return true
}

// nextOther returns the next line that is not of keys or ways.
func nextOther(text string) (line, rest string) {
	for text != "" {
		line, text, _ = strings.Cut(text, "\r\n")
		if !slices.ContainsFunc([]string{"o=", "a=crypto:", "a=fingerprint:", "a=setup:", "a=ice-", "a=candidate:"}, func(p string) bool { return strings.HasPrefix(line, p) }) {
			return line, text
		}
	}
	return "", ""
}

// answerAlone answers an offer that changes nothing for the other side: other keys, or a way that
// only the box and its peer take.
func (c *Call) answerAlone(l, other *Leg) *checked.Reply {
	body, bad := c.answerFor(l, other)
	if bad != nil {
		return bad
	}
	c.tellAnswered(l)
	c.changed()
	return &checked.Reply{Code: 200, Reason: "OK", Body: body, Type: typeSDP}
}

// tellAnswered tells the relay of formats that a peer was answered with, if they are other than it
// takes for granted.
func (c *Call) tellAnswered(l *Leg) {
	m := c.terms(l)
	if c.media.said[l.mediaID] == saidNow(&m) {
		return
	}
	if err := c.updateRelay(l); err != nil {
		c.log.Warn("the relay did not take what a leg was answered", "leg", l.id, "err", err)
	}
}
