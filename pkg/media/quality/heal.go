package quality

import (
	"fmt"
	"net/netip"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

const (
	// few packets in a second are no stream: the tail of another, a scanner, noise.
	few = 10
	// looksQuiet is how many looks without a packet let a party be proven anew.
	looksQuiet = 2
)

// Signs are what is seen of a stream at one moment. Counters are since it began.
type Signs struct {
	Expected    bool           // the party should send now
	Packets     uint64         // from the party, of any format
	Foreign     uint64         // packets of formats that were not agreed, from where the party may be
	ForeignType uint8          // payload type of the last one
	Refused     uint64         // SRTP that is not authentic
	Strangers   uint64         // packets from where the party cannot be
	Stranger    netip.AddrPort // where the last one came from
	Said        netip.AddrPort // where the party receives, by its SDP
	Remote      netip.AddrPort // where it is proven to be
}

// Finding is something that is wrong with a stream, or over.
type Finding struct {
	Kind string // of ctl.MediaEvent
	Text string
	Cure string // what the box did, for the account
}

// Doctor finds out why a party is not heard. It looks about once a second.
type Doctor struct {
	before Signs
	looked bool
	quiet  int    // looks without a packet that is right
	told   string // what is wrong
	asked  bool   // the party may be proven anew
	was    netip.AddrPort
	moved  bool // that it is elsewhere than it said was told
}

// See returns what is new since the last look, and whether the party is to be proven anew: it has fallen
// silent, and may be at another port of where it can be.
func (d *Doctor) See(s Signs) (found []Finding, relatch bool) {
	old, first := d.before, !d.looked
	d.before, d.looked = s, true
	if first || !s.Expected {
		d.quiet = 0
		return nil, false
	}
	if foreign := s.Foreign - old.Foreign; s.Packets-old.Packets > foreign {
		return d.heard(s), false
	}
	if kind, text := reason(s, old); kind != "" && d.told != kind {
		d.told = kind
		found = append(found, Finding{Kind: kind, Text: text})
	}
	if d.quiet++; d.quiet >= looksQuiet && !d.asked && s.Remote.IsValid() {
		d.asked, d.was = true, s.Remote
		return found, true
	}
	return found, false
}

// reason returns why a party is not heard, if what comes instead tells.
func reason(s, old Signs) (kind, text string) {
	switch {
	case s.Refused-old.Refused >= few:
		return ctl.MediaInsecure, "its packets are protected with another key than the one that was agreed"
	case s.Foreign-old.Foreign >= few:
		return ctl.MediaForeign, fmt.Sprintf("it sends payload type %d, which was not agreed", s.ForeignType)
	case s.Strangers-old.Strangers >= few:
		return ctl.MediaStranger, fmt.Sprintf("packets come from %s, which is neither in its SDP nor where its signalling comes from", s.Stranger)
	}
	return "", ""
}

// heard tells that what was wrong is over.
func (d *Doctor) heard(s Signs) (found []Finding) {
	d.quiet = 0
	if elsewhere(s) && !d.moved {
		d.moved = true
		found = append(found, Finding{
			Kind: ctl.MediaCured, Text: fmt.Sprintf("its SDP names the private address %s; media goes to %s, where its packets come from", s.Said.Addr(), s.Remote),
			Cure: "media goes to where the packets come from",
		})
	}
	switch {
	case d.asked && s.Remote.IsValid() && s.Remote != d.was:
		found = append(found, Finding{
			Kind: ctl.MediaCured, Text: fmt.Sprintf("its media came from %s and comes from %s now", d.was, s.Remote), Cure: "its new port was taken",
		})
	case d.told != "":
		found = append(found, Finding{Kind: ctl.MediaCured, Text: "what it sends is right again"})
	}
	d.told, d.asked = "", false
	return found
}

// elsewhere reports whether a party's SDP names a private address at which it is not.
func elsewhere(s Signs) bool {
	return s.Said.IsValid() && s.Remote.IsValid() && s.Said.Addr().IsPrivate() && s.Said.Addr() != s.Remote.Addr()
}
