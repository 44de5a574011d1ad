// Package turn tells clients their address and relays for those with credentials: STUN and TURN over UDP
// (RFC 8489, RFC 8656). A stranger costs no memory, gets answers no longer than three times his request,
// and only so many of them.
package turn

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/media/stun"
	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// Quotas. An app with sound and picture, and neither bundle nor rtcp-mux, takes four ports for a call.
const (
	maxOfUser     = 16
	maxInAll      = 2000
	sweepEvery    = 10 * time.Second
	nonceTime     = time.Hour
	batchSize     = 32
	receiveBuffer = 1 << 20
)

// Config of a server.
type Config struct {
	Listen      []netip.AddrPort
	First, Last uint16 // ports of relays
	Peers       Gate
	Log         *slog.Logger
	Now         func() time.Time // nil is the clock
}

// Policy is what the server does. The zero value does nothing.
type Policy struct {
	STUN   bool   // tell clients their address
	Realm  string // of the credentials
	Secret []byte // that they are made with; none: no relaying
}

// Server is a STUN and TURN server.
type Server struct {
	cfg   Config
	nonce [32]byte

	changed chan struct{} // holds a token when the policy is new

	mu     sync.Mutex // guards what follows; held for a datagram at a time
	policy Policy
	fault  error
	limit  *limit
	allocs map[client]*allocation
	ofUser map[string]int
	relays sync.WaitGroup
}

// New returns a server that does nothing until it is given a policy.
func New(cfg Config) (*Server, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.First == 0 || cfg.Last < cfg.First {
		return nil, fmt.Errorf("ports %d to %d: no range for relays", cfg.First, cfg.Last)
	}
	s := &Server{cfg: cfg, changed: make(chan struct{}, 1), limit: newLimit(), allocs: map[client]*allocation{}, ofUser: map[string]int{}}
	s.random(s.nonce[:])
	return s, nil
}

func (s *Server) random(b []byte) { _, _ = rand.Read(b) } // never fails: the program would end

// SetPolicy changes what the server does. What it relays for clients whose credentials are not good any
// more ends with their allocations' lifetime; without a secret it ends now.
func (s *Server) SetPolicy(p Policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policy = p
	if len(p.Secret) == 0 {
		for c := range s.allocs {
			s.endLocked(c)
		}
	}
	select {
	case s.changed <- struct{}{}:
	default: // Run will look
	}
}

// Use tells how many ports relay now.
func (s *Server) Use() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.allocs)
}

// Run serves until ctx ends. Its ports are open only while the policy wants something. When they cannot
// be had Fault says so, and they are tried again.
func (s *Server) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		var retry <-chan time.Time
		if s.wanted() {
			err := s.session(ctx)
			s.setFault(err)
			if err != nil {
				s.cfg.Log.Error("clients cannot ask for their address", "err", err)
				retry = time.After(retryAfter)
			}
		}
		if !s.wanted() || retry != nil {
			select {
			case <-ctx.Done():
			case <-s.changed:
			case <-retry:
			}
		}
	}
	return nil
}

// retryAfter is when ports that could not be had are tried again: what had them may have been our own
// predecessor.
const retryAfter = 5 * time.Second

func (p *Policy) wants() bool { return p.STUN || len(p.Secret) != 0 }

func (s *Server) wanted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.policy.wants()
}

// Listening returns where clients may ask: nowhere while the policy wants nothing, or the ports cannot
// be had.
func (s *Server) Listening() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.policy.wants() || s.fault != nil {
		return nil
	}
	return s.cfg.Listen
}

func (s *Server) setFault(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
}

// Fault says why the server does not serve though it should, if it does not.
func (s *Server) Fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// session serves until the policy wants nothing any more, or ctx ends.
func (s *Server) session(ctx context.Context) error {
	conns := make([]*net.UDPConn, 0, len(s.cfg.Listen))
	defer func() {
		for _, c := range conns {
			_ = c.Close() // nothing is left to lose
		}
	}()
	for _, at := range s.cfg.Listen {
		conn, err := open(at)
		if err != nil {
			return fmt.Errorf("STUN server: %w", err)
		}
		conns = append(conns, conn)
	}
	s.setFault(nil)
	s.cfg.Peers.Refresh(OwnAddresses())
	var wg sync.WaitGroup
	for _, conn := range conns {
		wg.Go(func() { s.serve(conn) })
	}
	s.sweep(ctx)
	for _, conn := range conns {
		_ = conn.Close() // ends its goroutine
	}
	wg.Wait()
	s.endAll()
	s.relays.Wait()
	return nil
}

func open(at netip.AddrPort) (*net.UDPConn, error) {
	fd, err := udpio.Open(at, udpio.Options{ReceiveBuffer: receiveBuffer, PacketInfo: true})
	if err != nil {
		return nil, err
	}
	return udpio.Conn(fd)
}

// sweep ends allocations whose time is over, until ctx ends or nothing is wanted any more.
func (s *Server) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
			if !s.wanted() {
				return
			}
		case <-tick.C:
			s.expire()
			s.cfg.Peers.Refresh(OwnAddresses())
		}
	}
}

func (s *Server) endAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.allocs {
		s.endLocked(c)
	}
}

func (s *Server) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	for c, a := range s.allocs {
		if !now.Before(a.expires) {
			s.endLocked(c)
		}
	}
}

func (s *Server) endLocked(c client) {
	a := s.allocs[c]
	delete(s.allocs, c)
	if s.ofUser[a.user]--; s.ofUser[a.user] == 0 {
		delete(s.ofUser, a.user)
	}
	_ = a.conn.Close() // ends its goroutine; nothing of it waits
}

// serve answers what comes to a socket until it is closed.
func (s *Server) serve(conn *net.UDPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		s.cfg.Log.Error("STUN server does not serve", "err", err)
		return
	}
	var fd int
	if err := raw.Control(func(f uintptr) { fd = int(f) }); err != nil {
		return // closed already
	}
	batch := udpio.NewBatch(batchSize, packetSize, true)
	reader, err := udpio.NewReader(conn, batch)
	if err != nil {
		s.cfg.Log.Error("STUN server does not serve", "err", err)
		return
	}
	for out := make([]byte, 0, packetSize); ; {
		n, err := reader.Read()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.cfg.Log.Error("STUN server ended", "err", err)
			}
			return
		}
		for i := range n {
			if batch.Truncated(i) {
				continue
			}
			local, _ := batch.To(i)
			c := client{from: batch.From(i).AddrPort(), local: local, fd: fd}
			if answer := s.datagram(out, batch.Packet(i), c); answer != nil {
				_ = udpio.Send(fd, answer, batch.From(i), local) // lost, as on the way
			}
		}
	}
}

// datagram handles what a client sent, and returns the answer, if there is one, in out.
func (s *Server) datagram(out, p []byte, c client) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	if len(p) >= 4 && p[0]>>6 == 1 { // RFC 8656 §12.6
		s.channelDataLocked(p, c, now)
		return nil
	}
	m, ok := stun.Parse(p)
	if !ok || !m.Marked() {
		return nil
	}
	switch m.Type() {
	case stun.Binding | stun.Request:
		if !s.policy.STUN || !s.limit.allow(c.from.Addr(), now) {
			return nil
		}
		w := stun.New(out, stun.Binding|stun.Success, m.ID())
		w.AddXORAddress(stun.AttrXORMappedAddress, c.from)
		return w.Message()
	case stun.Send | stun.Indication:
		s.indicationLocked(m, c, now)
		return nil
	}
	if m.Type().Class() != stun.Request || len(s.policy.Secret) == 0 {
		return nil
	}
	return s.requestLocked(out, m, c, now)
}

func (s *Server) channelDataLocked(p []byte, c client, now time.Time) {
	size := int(binary.BigEndian.Uint16(p[2:]))
	a := s.allocs[c]
	if a == nil || len(p)-4 < size || !now.Before(a.expires) {
		return
	}
	if ch := a.channels[binary.BigEndian.Uint16(p)]; ch != nil && now.Before(ch.expires) {
		a.sendLocked(ch.peer, p[4:4+size], now)
	}
}

func (s *Server) indicationLocked(m stun.Message, c client, now time.Time) {
	a := s.allocs[c]
	peer, ok := m.XORAddress(stun.AttrXORPeerAddress)
	data, has := m.Attr(stun.AttrData)
	if a != nil && ok && has && now.Before(a.expires) {
		a.sendLocked(peer, data, now)
	}
}

// nonceAt is the nonce of a client in a span of time: it needs no memory to be known again.
func (s *Server) nonceAt(c client, span int64) string {
	mac := hmac.New(sha256.New, s.nonce[:])
	_, _ = fmt.Fprintf(mac, "%d %s", span, c.from.Addr()) // a hash takes everything
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

func (s *Server) freshNonce(c client, nonce string, now time.Time) bool {
	span := now.Unix() / int64(nonceTime/time.Second)
	return hmac.Equal([]byte(nonce), []byte(s.nonceAt(c, span))) || hmac.Equal([]byte(nonce), []byte(s.nonceAt(c, span-1)))
}
