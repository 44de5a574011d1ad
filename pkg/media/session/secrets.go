package session

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/media/ice"
	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/media/secure"
	"github.com/coraltele/sanchar/pkg/media/secure/handshake"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// secrets are what the box and a stream's party prove themselves and protect packets by. Slices are
// replaced, never changed: a draft shares them.
type secrets struct {
	protection ctl.Protection
	own        []ctl.MediaCrypto // a key of ours for each suite, the same for the life of the stream
	offered    []ctl.MediaCrypto // what we have said last, of which an answer names one by its tag
	ours       ctl.MediaCrypto   // agreed by SDES: our key with the tag
	theirs     ctl.MediaCrypto   // and the party's
	setup      string            // our role in the handshake
	keyed      [2]keys           // by handshakes on the RTP and the RTCP socket
	carried    bool              // keys are of the leg that this one continues
	about      string            // who the handshake is with: another party begins another one
	credential ice.Credentials   // ours
	ufrag      string            // the party's when ours were made
}

// keys are those of a handshake that has ended well.
type keys struct{ RX, TX secure.Master }

func (k *keys) valid() bool { return k.RX.Valid() && k.TX.Valid() }

// setupActpass stands in offers: the party chooses who begins (RFC 4145 §4).
const (
	setupActpass = "actpass"
	setupActive  = "active"
	setupPassive = "passive"
)

// agree makes for each stream of a leg what is needed to protect it, by what the leg is to say and what
// its party has said. What cannot be agreed on is a fault.
func (l *leg) agree(c *checker, path string) {
	for i, st := range l.streams {
		at := fmt.Sprintf("%s.streams[%d]", path, i)
		p := l.protection(c, at, st)
		st.secrets.protection = p
		if l.rides(i) {
			if p != l.streams[0].secrets.protection && wants(st.said) {
				c.fault(at+".protection", string(p), "as the first of the bundle", "bundle streams of one protection")
			}
			continue
		}
		switch p {
		case ctl.SDES:
			st.secrets.sdes(c, at, st.said, &l.ours)
		case ctl.DTLS:
			st.secrets.dtls(c, at, st.said, &l.ours)
		case ctl.Plain, ctl.Through:
		default:
			c.fault(at+".protection", short(string(p)), "none, sdes, dtls or through", "leave it out for none")
		}
		st.secrets.ice(c, at, st.said, &l.ours)
	}
}

// protection is what a leg says of a stream and its party has agreed to. A party that has said nothing
// of it is not protected, unless the box insists.
func (l *leg) protection(c *checker, at string, st *stream) ctl.Protection {
	ours := l.ours.Protection
	if !relay.IsRTP(st.kind) {
		return ctl.Plain
	}
	if !wants(st.said) || st.said.Protection == ours {
		return ours
	}
	theirs := st.said.Protection
	switch {
	case theirs == ctl.Plain || ours == ctl.Plain && theirs != ctl.Through:
		return ctl.Plain
	case ours == ctl.Plain:
		return theirs
	}
	c.fault(at+".protection", short(string(theirs)), "as the box says on the leg: "+string(ours), "say the same on both sides, or refuse the stream")
	return ours
}

// sdes offers keys, chooses one of those that the party offers, or takes its answer (RFC 4568 §5.1).
func (s *secrets) sdes(c *checker, at string, said *ctl.MediaStream, ours *ctl.MediaTerms) {
	suites := s.suites(c, at, ours.Suites)
	switch {
	case !wants(said):
		s.offer(suites)
	case ours.Setup == setupActpass && len(s.offered) > 0 && len(said.Crypto) == 1:
		s.answered(c, at, &said.Crypto[0])
	default:
		s.choose(c, at, said.Crypto, suites)
	}
}

// suites returns what the box may use, in its order.
func (s *secrets) suites(c *checker, at string, names []string) (list []secure.Suite) {
	if len(names) == 0 {
		return secure.Suites()
	}
	for _, name := range names {
		suite := secure.SuiteOf(name)
		if suite == secure.None {
			c.fault(at+".suites", short(name), "a suite of RFC 4568, RFC 6188 or RFC 7714", "leave it out")
			continue
		}
		list = append(list, suite)
	}
	return list
}

// key returns our key for a suite.
func (s *secrets) key(suite secure.Suite) []byte {
	for _, o := range s.own {
		if secure.SuiteOf(o.Suite) == suite {
			return o.Key
		}
	}
	key := secure.NewMaster(suite).Key
	s.own = append(s.own[:len(s.own):len(s.own)], ctl.MediaCrypto{Suite: suite.String(), Key: key})
	return key
}

func (s *secrets) offer(suites []secure.Suite) {
	s.offered, s.ours, s.theirs = nil, ctl.MediaCrypto{}, ctl.MediaCrypto{}
	for i, suite := range suites {
		s.offered = append(s.offered, ctl.MediaCrypto{Tag: uint32(i + 1), Suite: suite.String(), Key: s.key(suite)})
	}
}

// answered takes the one that the party has chosen of what we offered (RFC 4568 §5.1.3).
func (s *secrets) answered(c *checker, at string, theirs *ctl.MediaCrypto) {
	for _, o := range s.offered {
		if o.Tag != theirs.Tag {
			continue
		}
		if secure.SuiteOf(theirs.Suite) != secure.SuiteOf(o.Suite) {
			c.fault(at+".crypto.suite", short(theirs.Suite), "that of the tag that was offered: "+o.Suite, "answer with the suite of the tag")
			return
		}
		if checkKey(c, at, theirs) {
			s.ours, s.theirs = o, *theirs
		}
		return
	}
	c.fault(at+".crypto.tag", strconv.FormatUint(uint64(theirs.Tag), 10), "one of the tags that were offered", "answer with the tag of the chosen a=crypto (RFC 4568 §5.1.2)")
}

// choose takes the first suite of ours that the party offers with a key that can be used.
func (s *secrets) choose(c *checker, at string, offers []ctl.MediaCrypto, suites []secure.Suite) {
	var faults checker
	for _, suite := range suites {
		for i := range offers {
			o := &offers[i]
			if secure.SuiteOf(o.Suite) != suite || !checkKey(&faults, at, o) {
				continue
			}
			s.ours, s.theirs = ctl.MediaCrypto{Tag: o.Tag, Suite: o.Suite, Key: s.key(suite)}, *o
			s.offered = []ctl.MediaCrypto{s.ours}
			return
		}
	}
	if len(faults.faults) > 0 {
		c.faults = append(c.faults, faults.faults...)
		return
	}
	names := make([]string, 0, len(offers))
	for i := range offers {
		names = append(names, offers[i].Suite)
	}
	c.fault(at+".crypto", short(strings.Join(names, " ")), "a suite that the box may use: "+suiteNames(suites), "offer one of them")
}

func suiteNames(suites []secure.Suite) string {
	names := make([]string, 0, len(suites))
	for _, s := range suites {
		names = append(names, s.String())
	}
	return strings.Join(names, " ")
}

// checkKey reports whether a party's key can be used, or says why not.
func checkKey(c *checker, at string, o *ctl.MediaCrypto) bool {
	before := len(c.faults)
	suite := secure.SuiteOf(o.Suite)
	if len(o.Key) != suite.MasterSize() {
		c.fault(at+".crypto.key", fmt.Sprintf("%d bytes", len(o.Key)), fmt.Sprintf("%d bytes for %s", suite.MasterSize(), o.Suite), "send key and salt of the suite")
	}
	if len(o.MKI) > secure.MaxMKI {
		c.fault(at+".crypto.mki", fmt.Sprintf("%d bytes", len(o.MKI)), fmt.Sprintf("at most %d bytes", secure.MaxMKI), "use a shorter one, or none")
	}
	return len(c.faults) == before
}

// masters are the keys for what the party sends and what is sent to it, as SDES agreed on them.
func (s *secrets) masters() (rx, tx secure.Master, ok bool) {
	suite := secure.SuiteOf(s.ours.Suite)
	rx = secure.Master{Suite: suite, Key: s.theirs.Key, MKI: s.theirs.MKI}
	tx = secure.Master{Suite: suite, Key: s.ours.Key}
	return rx, tx, rx.Valid() && tx.Valid()
}

// dtls settles who begins the handshake, and with whom it is (RFC 5763 §5).
func (s *secrets) dtls(c *checker, at string, said *ctl.MediaStream, ours *ctl.MediaTerms) {
	if !wants(said) {
		if s.setup = ours.Setup; s.setup == "" {
			s.setup = setupActpass
		}
		return
	}
	known := 0
	for _, f := range said.Fingerprints {
		if (handshake.Fingerprint{Hash: f.Hash, Value: f.Value}).Known() {
			known++
		}
	}
	if known == 0 {
		c.fault(at+".fingerprints", strconv.Itoa(len(said.Fingerprints)), "at least one by sha-256, sha-384 or sha-512", "send a=fingerprint of the certificate (RFC 8122 §5)")
	}
	role, ok := roleFor(said.Setup, ours.Setup)
	if !ok {
		c.fault(at+".setup", short(said.Setup), "a role that the box's leaves: "+ours.Setup, "answer actpass with active or passive (RFC 5763 §5)")
		return
	}
	s.setup = role
	s.handshakeWith(said)
}

// roleFor returns our role by the party's (RFC 4145 §4.1). Phones that leave it out in an answer begin;
// we rather wait, as the first datagram of a party behind a NAT shows where it is.
func roleFor(theirs, ours string) (role string, ok bool) {
	switch theirs {
	case setupActive:
		role = setupPassive
	case setupPassive:
		role = setupActive
	case setupActpass:
		if ours == setupActpass {
			return "", false
		}
		role = setupPassive
		if ours == setupActive {
			role = setupActive
		}
	case "":
		role = setupPassive
	default:
		return "", false
	}
	return role, ours == "" || ours == setupActpass || ours == role
}

// handshakeWith begins a new handshake if it is with another certificate, in another role or, without
// checks that would tell, from another place (RFC 5763 §6.6, RFC 8842 §4).
func (s *secrets) handshakeWith(said *ctl.MediaStream) {
	about := s.setup
	for _, f := range said.Fingerprints {
		about += fmt.Sprintf(" %s %x", f.Hash, f.Value)
	}
	if said.ICE.Ufrag == "" && said.RTP.IsValid() && !said.RTP.Addr().IsUnspecified() {
		about += " " + said.RTP.String()
	}
	if about != s.about {
		s.about, s.keyed = about, [2]keys{}
	}
}

// ice makes our credentials, anew when the party has restarted (RFC 8839 §4.4.1.1).
func (s *secrets) ice(c *checker, at string, said *ctl.MediaStream, ours *ctl.MediaTerms) {
	switch ours.ICE {
	case ctl.NoICE:
		return
	case ctl.ICELite, ctl.ICEThrough:
	default:
		c.fault(at+".ice", short(string(ours.ICE)), "none, lite or through", "leave it out for none")
		return
	}
	if wants(said) && said.ICE.Ufrag != "" && !(ice.Credentials{Ufrag: said.ICE.Ufrag, Pwd: said.ICE.Pwd}).Valid() {
		c.fault(at+".ice", fmt.Sprintf("ufrag of %d, password of %d bytes", len(said.ICE.Ufrag), len(said.ICE.Pwd)),
			fmt.Sprintf("at least %d and %d", ice.MinUfrag, ice.MinPwd), "send credentials as RFC 8839 §5.4 wants them")
	}
	restarted := wants(said) && ours.Setup != setupActpass && s.ufrag != "" && said.ICE.Ufrag != s.ufrag
	if s.credential == (ice.Credentials{}) || restarted {
		s.credential = ice.NewCredentials()
	}
	if wants(said) {
		s.ufrag = said.ICE.Ufrag
	}
}
