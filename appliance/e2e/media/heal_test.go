package media

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/media/secure"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/phone"
)

// healTime is how long it takes at most until a party is heard again, from when it was not: the fault is
// found, the party is left the time to mend it, and is asked.
const healTime = found + 5*time.Second

// ill is a site with a call of two PCMU phones, alice's of rules of her own.
func ill(t *testing.T, rules ctl.MediaRules) (s *site, alice, bob *phone.Line) {
	t.Helper()
	s = open(t, "alice", "bob")
	s.policy(map[string]ctl.MediaRules{"alice": rules, "bob": {Encryption: ctl.EncryptionOff}})
	alice, bob = s.line(s.lab.Host(t, "alice"), "alice"), s.line(s.lab.Host(t, "bob"), "bob")
	alice.Say, bob.Say = pcmu().say, pcmu().say
	return s, alice, bob
}

// diagnosis waits for the record of alice's call and wants a fault of hers with a cure.
func (s *site) diagnosis(cause, text, cure string, since time.Time) {
	s.t.Helper()
	r := s.record("alice", "bob")
	all := append([]record.Fault(nil), r.Faults...)
	for _, l := range r.Legs {
		for _, st := range l.Streams {
			if l.Party.User == "alice" {
				all = append(all, st.Faults...)
			}
		}
	}
	for _, f := range all {
		if f.Cause == cause && strings.Contains(f.Text, text) && strings.Contains(f.Cure, cure) {
			if took := f.At.Sub(since); took > found {
				s.t.Errorf("found after %s: %+v", took, f)
			}
			return
		}
	}
	s.t.Errorf("the record has no %s, %q, cured by %q: %+v", cause, text, cure, all)
}

// A phone that writes a private address into its SDP is heard all the same, and the record says why.
func TestPrivateAddressInSDP(t *testing.T) {
	t.Parallel()
	s, alice, bob := ill(t, ctl.MediaRules{Encryption: ctl.EncryptionOff})
	alice.Say = func(at netip.AddrPort) string {
		return pcmu().say(netip.AddrPortFrom(netip.MustParseAddr("192.168.7.7"), at.Port()))
	}
	since := time.Now()
	out, in := connect(t, alice, bob)
	a, b := speak(t, out, pcmu(), aliceHz), speak(t, in, pcmu(), bobHz)
	a.hears(bobHz)
	b.hears(aliceHz)
	hangUp(t, out)
	s.diagnosis(ctl.MediaOneWay, "192.168.7.7", "where the packets come from", since)
}

// A phone that falls silent is found out and asked for its media, upon which it speaks.
func TestPartyThatFallsSilent(t *testing.T) {
	t.Parallel()
	s, alice, bob := ill(t, ctl.MediaRules{Encryption: ctl.EncryptionOff})
	out, in := connect(t, alice, bob)
	a, b := speak(t, out, pcmu(), aliceHz), speak(t, in, pcmu(), bobHz)
	a.hears(bobHz)
	b.hears(aliceHz)
	since := time.Now()
	a.do(func() { a.hz = 0 })
	a.await("an offer", healTime, func() bool { return out.Reoffered() > 0 })
	a.do(func() { a.hz = aliceHz })
	b.hearsWithin(aliceHz, healTime)
	hangUp(t, out)
	s.diagnosis(ctl.MediaOneWay, "", "re-INVITE", since)
}

const suite = "AES_CM_128_HMAC_SHA1_80"

// locked is a phone that protects its media with keys of its SDP.
type locked struct {
	t *testing.T

	mu     sync.Mutex // guards what follows
	call   *phone.Call
	mine   secure.Master // that it says it uses
	offers bool          // it speaks first
}

// theirs reads the box's key of the suite, and its tag.
func (l *locked) theirs() (tag string, m secure.Master) {
	found := regexp.MustCompile(`a=crypto:(\d+) ` + suite + ` inline:([A-Za-z0-9+/=]+)`).FindStringSubmatch(l.call.Heard())
	if found == nil {
		l.t.Errorf("no key of %s in %s", suite, l.call.Heard())
		return "", m
	}
	key, err := base64.StdEncoding.DecodeString(found[2])
	if err != nil {
		l.t.Error(err)
	}
	return found[1], secure.Master{Suite: secure.AES128SHA80, Key: key}
}

// say offers or answers the key.
func (l *locked) say(at netip.AddrPort) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, tag := pcmu(), "1"
	if !l.offers {
		tag, _ = l.theirs()
	}
	c.media = strings.Replace(c.media, "RTP/AVP", "RTP/SAVP", 1) +
		fmt.Sprintf("a=crypto:%s %s inline:%s\r\n", tag, suite, base64.StdEncoding.EncodeToString(l.mine.Key))
	return c.say(at)
}

// next says which key comes next, in an offer of the phone's or in its answer to one.
func (l *locked) next(mine secure.Master, offers bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mine, l.offers = mine, offers
}

// keys are what the phone really uses: the key that it sends with, and the box's.
func (l *locked) keys(tx secure.Master) *secure.Keys {
	l.t.Helper()
	_, rx := l.theirs()
	k, err := secure.NewKeys(rx, tx, new(secure.State))
	if err != nil {
		l.t.Fatal(err)
	}
	return k
}

// A phone that says one key in a re-INVITE and uses another is asked again, and heard when it says the right one.
func TestWrongKeyAfterReINVITE(t *testing.T) {
	t.Parallel()
	s, alice, bob := ill(t, ctl.MediaRules{Encryption: ctl.EncryptionRequired, Kinds: []string{"sdes"}})
	first, right := secure.NewMaster(secure.AES128SHA80), secure.NewMaster(secure.AES128SHA80)
	l := &locked{t: t, mine: first, offers: true}
	alice.Say = l.say
	out, in := connect(t, alice, bob)
	l.call = out
	a, b := speakLocked(t, out, l.keys(first), aliceHz), speak(t, in, pcmu(), bobHz)
	a.hears(bobHz)
	b.hears(aliceHz)

	l.next(secure.NewMaster(secure.AES128SHA80), true)
	if err := out.Offer(); err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	l.next(right, false)
	wrong := l.keys(right)
	a.do(func() { a.guard = wrong })
	a.await("an offer", healTime, func() bool { return out.Reoffered() > 0 })
	again := l.keys(right)
	a.do(func() { a.guard = again })
	b.hearsWithin(aliceHz, healTime)
	a.hearsWithin(bobHz, healTime)
	hangUp(t, out)
	s.diagnosis(ctl.MediaInsecure, "another key", "re-INVITE", since)
}
