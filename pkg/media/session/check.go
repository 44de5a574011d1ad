package session

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

type addr = netip.Addr

// checker collects the faults of one request.
type checker struct{ faults []problem.Fault }

func (c *checker) fault(path, value, rule, cure string) {
	c.faults = append(c.faults, problem.Fault{Path: path, Value: value, Rule: rule, Cure: cure})
}

func (c *checker) err() error { return problem.Fields("media.request", c.faults) }

func (c *checker) id(path, id string) {
	if id == "" || len(id) > maxID {
		c.fault(path, short(id), fmt.Sprintf("1 to %d bytes", maxID), "choose an id of that length")
	}
}

// local checks an address of ours.
func (c *checker) local(path string, a netip.Addr) {
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Is4In6() {
		c.fault(path, a.String(), "an address of one of the box's interfaces", "name the address that the party reaches")
	}
}

// streams checks what a leg said.
func (c *checker) streams(path string, l *ctl.MediaLeg) {
	if len(l.Streams) > maxStreams {
		c.fault(path+".streams", strconv.Itoa(len(l.Streams)), fmt.Sprintf("at most %d streams", maxStreams), "refuse the offer")
		return
	}
	for i := range l.Streams {
		c.stream(fmt.Sprintf("%s.streams[%d]", path, i), &l.Streams[i], l.Local)
	}
}

func (c *checker) stream(path string, s *ctl.MediaStream, local netip.Addr) {
	if s.Kind == "" || len(s.Kind) > maxID {
		c.fault(path+".kind", short(s.Kind), "the media type of the m-line", "send what stands after m=")
	}
	switch s.Direction {
	case "", ctl.SendRecv, ctl.SendOnly, ctl.RecvOnly, ctl.Inactive:
	default:
		c.fault(path+".dir", short(string(s.Direction)), "sendrecv, sendonly, recvonly or inactive", "leave it out for sendrecv")
	}
	if len(s.Formats) > maxFormats {
		c.fault(path+".fmt", strconv.Itoa(len(s.Formats)), fmt.Sprintf("at most %d formats", maxFormats), "refuse the offer")
	}
	for i, f := range s.Formats {
		if f.PayloadType > 127 {
			c.fault(fmt.Sprintf("%s.fmt[%d].pt", path, i), strconv.Itoa(int(f.PayloadType)), "0 to 127 (RFC 3551 §6)", "correct it")
		}
	}
	for at, a := range map[string]netip.AddrPort{".rtp": s.RTP, ".rtcp": s.RTCP} {
		if a.IsValid() && a.Addr().Unmap().Is4() != local.Is4() {
			c.fault(path+at, a.String(), "of the same IP version as the leg's local address "+local.String(),
				"name a local address of that version, or refuse the stream")
		}
	}
}

// checkOffer checks what can be checked of an offer without looking at sessions.
func checkOffer(in *ctl.MediaOffer) error {
	var c checker
	c.id("session", in.Session)
	c.id("leg.id", in.Leg.ID)
	c.id("peer.id", in.Peer.ID)
	if in.Leg.ID == in.Peer.ID {
		c.fault("peer.id", short(in.Peer.ID), "another than leg.id", "name each leg by itself")
	}
	c.local("leg.local", in.Leg.Local)
	c.local("peer.local", in.Peer.Local)
	if len(in.Leg.Streams) == 0 {
		c.fault("leg.streams", "0", "at least one stream", "send what the leg has offered")
	}
	if len(in.Peer.Streams) != 0 {
		c.fault("peer.streams", strconv.Itoa(len(in.Peer.Streams)), "none: the peer has not spoken", "leave it out")
	}
	c.streams("leg", &in.Leg)
	return c.err()
}

// checkWidening checks an offer for a session that exists.
func checkWidening(in *ctl.MediaOffer, s *session) error {
	var c checker
	l := s.leg(in.Leg.ID)
	switch {
	case l == nil:
		c.fault("leg.id", short(in.Leg.ID), "a leg of the session, which exists", "choose another session id")
	case len(in.Leg.Streams) != len(l.streams):
		c.fault("leg.streams", strconv.Itoa(len(in.Leg.Streams)), fmt.Sprintf("%d, as it has offered", len(l.streams)), "update the session first")
	}
	if s.leg(in.Peer.ID) == nil && len(s.legs) >= maxLegs {
		c.fault("peer", short(in.Peer.ID), fmt.Sprintf("at most %d legs", maxLegs), "drop legs that have ended")
	}
	return c.err()
}

// checkAnswer checks an answer against the leg that it is of.
func checkAnswer(in *ctl.MediaAnswer, s *session) error {
	var c checker
	l, peer := s.leg(in.Leg.ID), s.leg(in.Peer)
	if l == nil {
		c.fault("leg.id", short(in.Leg.ID), "a leg of the session", "offer to it first")
	}
	if peer == nil || peer == l {
		c.fault("peer", short(in.Peer), "another leg of the session", "name the leg that has offered")
	}
	if l != nil && peer != nil && (len(in.Leg.Streams) != len(l.streams) || len(l.streams) != len(peer.streams)) {
		c.fault("leg.streams", strconv.Itoa(len(in.Leg.Streams)),
			fmt.Sprintf("%d, as many as were offered (RFC 3264 §6)", len(peer.streams)), "refuse streams by a port of 0, not by leaving them out")
	}
	if l != nil {
		if !in.Leg.Local.IsValid() {
			in.Leg.Local = l.where.local
		}
		if in.Leg.Local != l.where.local {
			c.fault("leg.local", in.Leg.Local.String(), "the address that was offered, "+l.where.local.String(), "leave it out")
		}
		c.streams("leg", &in.Leg)
	}
	return c.err()
}

// checkUpdate checks an update against the session that it changes.
func checkUpdate(in *ctl.MediaUpdate, s *session) error {
	var c checker
	after := map[string]bool{} // legs that there will be
	for _, l := range s.legs {
		after[l.id] = true
	}
	for i := range in.Legs {
		c.updatedLeg(fmt.Sprintf("legs[%d]", i), &in.Legs[i], s)
		if slices.ContainsFunc(in.Legs[:i], func(l ctl.MediaLeg) bool { return l.ID == in.Legs[i].ID }) {
			c.fault(fmt.Sprintf("legs[%d].id", i), short(in.Legs[i].ID), "each leg once", "join both entries")
		}
		after[in.Legs[i].ID] = true
	}
	for i, id := range in.Drop {
		if !after[id] {
			c.fault(fmt.Sprintf("drop[%d]", i), short(id), "a leg of the session", "leave it out")
		}
		delete(after, id)
	}
	if len(after) == 0 {
		c.fault("drop", strconv.Itoa(len(in.Drop)), "at least one leg stays", "close the session")
	}
	if len(after) > maxLegs {
		c.fault("legs", strconv.Itoa(len(after)), fmt.Sprintf("at most %d legs", maxLegs), "drop legs that have ended")
	}
	c.pairs(in.Pairs, after)
	return c.err()
}

func (c *checker) updatedLeg(path string, l *ctl.MediaLeg, s *session) {
	c.id(path+".id", l.ID)
	old := s.leg(l.ID)
	if old != nil && !l.Local.IsValid() {
		l.Local = old.where.local
	}
	c.local(path+".local", l.Local)
	c.streams(path, l)
	if old != nil && len(l.Streams) != 0 && len(l.Streams) < len(old.streams) {
		c.fault(path+".streams", strconv.Itoa(len(l.Streams)),
			fmt.Sprintf("at least %d: streams do not leave a session (RFC 3264 §8)", len(old.streams)), "refuse streams by a port of 0")
	}
}

func (c *checker) pairs(pairs [][2]string, after map[string]bool) {
	seen := map[string]bool{}
	for i, p := range pairs {
		for j, id := range p {
			path := fmt.Sprintf("pairs[%d][%d]", i, j)
			switch {
			case !after[id]:
				c.fault(path, short(id), "a leg of the session", "name it in legs too")
			case seen[id]:
				c.fault(path, short(id), "each leg in one pair", "pair it with one other leg")
			}
			seen[id] = true
		}
	}
}
