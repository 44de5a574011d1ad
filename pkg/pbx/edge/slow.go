package edge

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/sip/checked"
)

// The slow road serves what is rare, with the SIP library's transactions: requests outside of
// dialogs that are neither registrations nor calls. The edge stands before it as a proxy would:
// only what a user has proved gets there, on one path, so that what the library keeps for each
// peer and each datagram is bounded by us.
type slowRoad struct {
	edge    *Edge
	log     *slog.Logger
	pending chan []byte // to the library
	closed  chan struct{}
	once    sync.Once

	mu    sync.Mutex // guards flows
	next  uint64
	flows map[string]slowEntry // by the branch of our hop
}

type slowEntry struct {
	flow  Flow
	until time.Time
}

// Limits of the slow road.
const (
	slowQueue    = 256              // requests that wait for the library
	slowRequests = 1024             // requests that wait for their final response
	slowTime     = 32 * time.Second // RFC 3261 §17.1.2.2: the peer has given up after Timer F
)

// slowHop is our hop's Via. Its address is never sent to: both ends are in this process.
const slowHop = "Via: SIP/2.0/UDP 127.0.0.1:5060;branch="

func newSlowRoad(e *Edge) *slowRoad {
	return &slowRoad{
		edge: e, log: slogx.Part(e.log, "slow"), pending: make(chan []byte, slowQueue), closed: make(chan struct{}),
		flows: map[string]slowEntry{},
	}
}

// take hands a request of in.Account to the library.
func (s *slowRoad) take(in *Inbound) {
	branch, ok := s.enter(in.Flow)
	if !ok {
		s.edge.Reply(in, &checked.Reply{Code: 503, Reason: "Busy", Header: "Retry-After: 5\r\n"})
		return
	}
	text := in.AppendForward(nil, slowHop+branch+"\r\n", in.Flow.Remote)
	select {
	case s.pending <- text:
	default:
		s.leave(branch)
		s.edge.Reply(in, &checked.Reply{Code: 503, Reason: "Busy", Header: "Retry-After: 5\r\n"})
	}
}

func (s *slowRoad) enter(f Flow) (branch string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if len(s.flows) >= slowRequests {
		for b, e := range s.flows {
			if now.After(e.until) {
				delete(s.flows, b)
			}
		}
	}
	if len(s.flows) >= slowRequests {
		return "", false
	}
	s.next++
	branch = checked.Cookie + "slow" + strconv.FormatUint(s.next, 36)
	s.flows[branch] = slowEntry{f, now.Add(slowTime)}
	return branch, true
}

func (s *slowRoad) leave(branch string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flows, branch)
}

// run serves until ctx ends.
func (s *slowRoad) run(ctx context.Context) {
	defer s.close()
	ua, err := sipgo.NewUA(
		sipgo.WithUserAgent(s.edge.cfg.Product),
		sipgo.WithUserAgentTransactionLayerOptions(sip.WithTransactionLayerLogger(s.log)),
		sipgo.WithUserAgentTransportLayerOptions(sip.WithTransportLayerLogger(s.log)),
	)
	if err != nil {
		s.log.Error("the slow road is closed", "err", err)
		return
	}
	srv, err := sipgo.NewServer(ua, sipgo.WithServerLogger(s.log))
	if err != nil {
		s.log.Error("the slow road is closed", "err", err)
		return
	}
	s.routes(srv)
	stop := context.AfterFunc(ctx, s.close)
	defer stop()
	if err := srv.ServeUDP(&slowConn{s}); err != nil && ctx.Err() == nil {
		s.log.Error("the slow road is closed", "err", err)
	}
	if err := ua.Close(); err != nil {
		s.log.Debug("the slow road ended", "err", err)
	}
}

func (s *slowRoad) close() { s.once.Do(func() { close(s.closed) }) }

// routes says what is answered to each method. An event package that comes later takes its line here.
func (s *slowRoad) routes(srv *sipgo.Server) {
	answer := func(code int, reason string, headers ...sip.Header) sipgo.RequestHandler {
		return func(req *sip.Request, tx sip.ServerTransaction) {
			res := sip.NewResponseFromRequest(req, code, reason, nil)
			for _, h := range headers {
				res.AppendHeader(h)
			}
			if err := tx.Respond(res); err != nil {
				s.log.Debug("answer not sent", "err", err)
			}
		}
	}
	allow := sip.NewHeader("Allow", checked.Handled.String())
	srv.OnSubscribe(answer(489, "Bad Event")) // RFC 6665 §4.1.3: no event package is served yet
	srv.OnPublish(answer(489, "Bad Event"))   // RFC 3903 §6 item 2
	srv.OnNotify(answer(481, "Subscription Does Not Exist"))
	srv.OnRefer(answer(403, "REFER Only Within a Call"))
	srv.OnNoRoute(answer(405, "Method Not Allowed", allow)) // RFC 3261 §21.4.6
}

// respond sends what the library answers on the way that the request came.
func (s *slowRoad) respond(text []byte) error {
	at := bytes.Index(text, []byte(slowHop[:len("Via: ")]))
	end := bytes.Index(text[max(at, 0):], []byte("\r\n"))
	if at < 0 || end < 0 {
		return fmt.Errorf("answer without our hop: %q", text)
	}
	var hop checked.Message
	if err := hop.Read(bytes.Clone(text)); err != nil {
		return err
	}
	branch := hop.TopBranch()
	s.mu.Lock()
	e, ok := s.flows[branch]
	if ok && !bytes.HasPrefix(text, []byte("SIP/2.0 1")) {
		delete(s.flows, branch)
	}
	s.mu.Unlock()
	if !ok {
		return nil // the peer has given up
	}
	out := append(append(make([]byte, 0, len(text)), text[:at]...), text[at+end+2:]...)
	return s.edge.Send(e.flow, out)
}

// slowConn is the socket that the library reads and writes.
type slowConn struct{ road *slowRoad }

func (c *slowConn) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case text := <-c.road.pending:
		return copy(p, text), c.LocalAddr(), nil
	case <-c.road.closed:
		return 0, nil, net.ErrClosed
	}
}

func (c *slowConn) WriteTo(p []byte, _ net.Addr) (int, error) { return len(p), c.road.respond(p) }

func (c *slowConn) LocalAddr() net.Addr {
	return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5060}
}

// Close ends reading.
func (c *slowConn) Close() error {
	c.road.close()
	return nil
}

// SetDeadline and its like are not asked for by the library's listener.
func (c *slowConn) SetDeadline(time.Time) error      { return nil }
func (c *slowConn) SetReadDeadline(time.Time) error  { return nil }
func (c *slowConn) SetWriteDeadline(time.Time) error { return nil }
