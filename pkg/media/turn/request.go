package turn

import (
	"crypto/hmac"
	"crypto/sha1" // RFC 8489 §14.5
	"encoding/binary"
	"hash"
	"net/netip"
	"time"

	"github.com/coraltele/sanchar/pkg/media/stun"
)

// Codes of errors (RFC 8489 §14.8, RFC 8656 §19).
const (
	badRequest       = 400
	unauthorized     = 401
	forbidden        = 403
	unknownAttribute = 420
	mismatch         = 437
	staleNonce       = 438
	wrongFamily      = 440
	wrongCredentials = 441
	wrongTransport   = 442
	quotaReached     = 486
	noCapacity       = 508
)

const (
	udpTransport = 17
	reserve      = 0x80 // in EVEN-PORT: the next port, too (RFC 8656 §18.4)
)

// request is one that a client has signed.
type request struct {
	stun.Message
	client client
	user   string
	mac    hash.Hash
	now    time.Time
	out    []byte
}

// requestLocked answers a request: who has no credentials hears how to use them (RFC 8489 §9.2.4).
func (s *Server) requestLocked(out []byte, m stun.Message, c client, now time.Time) []byte {
	r, code := s.authenticate(m, c, now)
	r.out = out
	if code != 0 {
		if !s.limit.allow(c.from.Addr(), now) {
			return nil
		}
		return s.challenge(&r, code)
	}
	if unknown := m.Unknown(known); len(unknown) > 0 {
		w := stun.New(out, m.Type().Method()|stun.Error, m.ID())
		w.AddError(unknownAttribute, "")
		w.AddUnknown(unknown[:min(len(unknown), 8)])
		w.Sign(r.mac)
		return w.Message()
	}
	switch m.Type().Method() {
	case stun.Allocate:
		return s.allocateLocked(&r)
	case stun.Refresh:
		return s.refreshLocked(&r)
	case stun.CreatePermission:
		return s.permitLocked(&r)
	case stun.ChannelBind:
		return s.bindLocked(&r)
	}
	return r.refuse(badRequest)
}

func known(typ uint16) bool {
	switch typ {
	case stun.AttrUsername, stun.AttrRealm, stun.AttrNonce, stun.AttrIntegrity, stun.AttrLifetime, stun.AttrChannelNumber,
		stun.AttrXORPeerAddress, stun.AttrFamily, stun.AttrTransport, stun.AttrEvenPort:
		return true
	}
	return false
}

// authenticate judges the credentials of a request.
func (s *Server) authenticate(m stun.Message, c client, now time.Time) (r request, code int) {
	r = request{Message: m, client: c, now: now}
	name, ok := m.Attr(stun.AttrUsername)
	nonce, hasNonce := m.Attr(stun.AttrNonce)
	if _, signed := m.Attr(stun.AttrIntegrity); !ok || !hasNonce || !signed {
		return r, unauthorized
	}
	if !s.freshNonce(c, string(nonce), now) {
		return r, staleNonce
	}
	user, key, ok := judge(s.policy.Secret, s.policy.Realm, string(name), now)
	if !ok {
		return r, unauthorized
	}
	r.user, r.mac = user, hmac.New(sha1.New, key)
	if !m.Authentic(r.mac) {
		return r, unauthorized
	}
	return r, 0
}

// challenge says how to ask. Without a reason in words it is short enough for strangers.
func (s *Server) challenge(r *request, code int) []byte {
	w := stun.New(r.out, r.Type().Method()|stun.Error, r.ID())
	w.AddError(code, "")
	w.AddString(stun.AttrRealm, s.policy.Realm)
	w.AddString(stun.AttrNonce, s.nonceAt(r.client, r.now.Unix()/int64(nonceTime/time.Second)))
	return w.Message()
}

func (r *request) refuse(code int) []byte {
	w := stun.New(r.out, r.Type().Method()|stun.Error, r.ID())
	w.AddError(code, "")
	w.Sign(r.mac)
	return w.Message()
}

func (r *request) succeed(add func(*stun.Builder)) []byte {
	w := stun.New(r.out, r.Type().Method()|stun.Success, r.ID())
	if add != nil {
		add(w)
	}
	w.Sign(r.mac)
	return w.Message()
}

// lifetime is what the client asks for, within bounds.
func (r *request) lifetime() time.Duration {
	v, ok := r.Attr(stun.AttrLifetime)
	if !ok || len(v) != 4 {
		return defaultLifetime
	}
	asked := time.Duration(binary.BigEndian.Uint32(v)) * time.Second
	if asked == 0 {
		return 0
	}
	return min(max(asked, defaultLifetime), longestLifetime) // RFC 8656 §7.2
}

// allocateLocked gives a client a port (RFC 8656 §7.2).
func (s *Server) allocateLocked(r *request) []byte {
	if a := s.allocs[r.client]; a != nil {
		if a.id != r.ID() || a.user != r.user {
			return r.refuse(mismatch)
		}
		return r.allocated(a, a.expires.Sub(r.now)) // its answer was lost
	}
	transport, ok := r.Attr(stun.AttrTransport)
	switch {
	case !ok || len(transport) != 4:
		return r.refuse(badRequest)
	case transport[0] != udpTransport:
		return r.refuse(wrongTransport)
	case !r.sameFamily():
		return r.refuse(wrongFamily)
	case s.ofUser[r.user] >= maxOfUser:
		return r.refuse(quotaReached)
	case len(s.allocs) >= maxInAll:
		return r.refuse(noCapacity)
	}
	even, asked := r.Attr(stun.AttrEvenPort)
	if asked && (len(even) != 1 || even[0]&reserve != 0) {
		return r.refuse(noCapacity) // RFC 8656 §7.2: no port is kept for a second request
	}
	conn, at, err := openRelay(r.client.local, s.cfg.First, s.cfg.Last, asked)
	if err != nil {
		s.cfg.Log.Warn("no port for a TURN relay", "peer", r.client.from, "err", err)
		return r.refuse(noCapacity)
	}
	life := max(r.lifetime(), defaultLifetime)
	a := &allocation{
		server: s, client: r.client, user: r.user, conn: conn, relayed: at, expires: r.now.Add(life), id: r.ID(),
		permissions: map[netip.Addr]time.Time{}, channels: map[uint16]*channel{}, numbers: map[netip.AddrPort]uint16{},
	}
	s.allocs[r.client] = a
	s.ofUser[r.user]++
	s.relays.Go(a.run)
	return r.allocated(a, life)
}

// sameFamily reports whether the client asks for the IP version that it came by (RFC 8656 §18.6).
func (r *request) sameFamily() bool {
	v, ok := r.Attr(stun.AttrFamily)
	return !ok || len(v) == 4 && (v[0] == 1) == r.client.local.Is4()
}

func (r *request) allocated(a *allocation, life time.Duration) []byte {
	return r.succeed(func(w *stun.Builder) {
		w.AddXORAddress(stun.AttrXORRelayed, a.relayed)
		w.AddUint32(stun.AttrLifetime, uint32(life/time.Second))
		w.AddXORAddress(stun.AttrXORMappedAddress, r.client.from)
	})
}

// mine returns the client's allocation, or the refusal.
func (s *Server) mineLocked(r *request) (*allocation, []byte) {
	a := s.allocs[r.client]
	switch {
	case a == nil || !r.now.Before(a.expires):
		return nil, r.refuse(mismatch)
	case a.user != r.user:
		return nil, r.refuse(wrongCredentials)
	}
	return a, nil
}

// refreshLocked gives an allocation more time, or ends it (RFC 8656 §8.2).
func (s *Server) refreshLocked(r *request) []byte {
	a, refusal := s.mineLocked(r)
	if refusal != nil {
		return refusal
	}
	life := r.lifetime()
	if life == 0 {
		s.endLocked(r.client)
	} else {
		a.expires = r.now.Add(life)
	}
	return r.succeed(func(w *stun.Builder) { w.AddUint32(stun.AttrLifetime, uint32(life/time.Second)) })
}

// permitLocked lets peers send and be sent to (RFC 8656 §10.2). Ports count when something is sent.
func (s *Server) permitLocked(r *request) []byte {
	a, refusal := s.mineLocked(r)
	if refusal != nil {
		return refusal
	}
	peers := r.XORAddresses(stun.AttrXORPeerAddress, maxPermissions)
	if len(peers) == 0 {
		return r.refuse(badRequest)
	}
	for _, p := range peers {
		if !s.cfg.Peers.Reachable(p.Addr()) || p.Addr().Is4() != r.client.local.Is4() {
			return r.refuse(forbidden)
		}
	}
	for _, p := range peers {
		if !a.permitLocked(p.Addr(), r.now) {
			return r.refuse(noCapacity)
		}
	}
	return r.succeed(nil)
}

func (s *Server) bindLocked(r *request) []byte {
	a, refusal := s.mineLocked(r)
	if refusal != nil {
		return refusal
	}
	number, ok := r.Attr(stun.AttrChannelNumber)
	peer, has := r.XORAddress(stun.AttrXORPeerAddress)
	if !ok || !has || len(number) != 4 {
		return r.refuse(badRequest)
	}
	n := binary.BigEndian.Uint16(number)
	switch {
	case n < firstChannel || n > lastChannel:
		return r.refuse(badRequest)
	case !s.cfg.Peers.Open(peer) || peer.Addr().Is4() != r.client.local.Is4():
		return r.refuse(forbidden)
	case !a.bindLocked(n, peer, r.now):
		return r.refuse(badRequest)
	}
	return r.succeed(nil)
}
