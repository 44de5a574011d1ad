package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"github.com/coraltele/sanchar/pkg/base/ids"
)

const tokenBytes = 8

// call calls one of the box's own accounts from the other, and hears a tone each way: nobody else knows of them, and
// what they do is written nowhere. A box that nobody has set up has no domain, and no calls that could go wrong.
func (c *Config) call(ctx context.Context) (err error) {
	st, err := c.Switch.Status(ctx)
	if err != nil {
		return err
	}
	if st.Domain == "" {
		c.Log.Info("the box is not set up yet: no call is tried")
		return nil
	}
	probes, err := c.Switch.MakeProbes(ctx)
	if err != nil {
		return fmt.Errorf("accounts for the call: %w", err)
	}
	defer func() { err = errors.Join(err, c.Switch.DropProbes(context.WithoutCancel(ctx))) }()
	if len(probes) != 2 {
		return fmt.Errorf("accounts for the call: %d, not 2", len(probes))
	}
	at, err := listener(st)
	if err != nil {
		return err
	}
	p, err := openPhone(st.Domain, at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	for _, who := range probes {
		if err := p.register(ctx, who.Name, who.Password); err != nil {
			return fmt.Errorf("register: %w", err)
		}
	}
	return p.talk(ctx, [2]string{probes[0].Name, probes[1].Name}, probes[0].Password)
}

// phone is two users on one socket, on the box's loopback.
type phone struct {
	domain string
	server netip.AddrPort
	conn   net.PacketConn
	ua     *sipgo.UserAgent
	client *sipgo.Client
	dialog *sipgo.DialogUA
	media  [2]net.PacketConn // of the caller, of the callee
	served chan error
	callee chan answered

	mu    sync.Mutex // guards taken
	taken *sipgo.DialogServerSession
}

// answered is a call that the callee has taken.
type answered struct {
	remote netip.AddrPort
	err    error
}

func openPhone(domain string, server netip.AddrPort) (p *phone, err error) {
	p = &phone{domain: domain, server: server, served: make(chan error, 1), callee: make(chan answered, 1)}
	if p.conn, err = net.ListenPacket("udp", net.JoinHostPort(server.Addr().String(), "0")); err != nil {
		return nil, err
	}
	for i := range p.media {
		if p.media[i], err = net.ListenPacket("udp", net.JoinHostPort(server.Addr().String(), "0")); err != nil {
			return nil, errors.Join(err, p.conn.Close())
		}
	}
	silent := slog.New(slog.NewTextHandler(io.Discard, nil))
	if p.ua, err = sipgo.NewUA(sipgo.WithUserAgent("Sanchar self-test")); err != nil {
		return nil, err
	}
	at := p.conn.LocalAddr().(*net.UDPAddr)
	if p.client, err = sipgo.NewClient(p.ua, sipgo.WithClientLogger(silent), sipgo.WithClientHostname(at.IP.String()), sipgo.WithClientConnectionAddr(at.String())); err != nil {
		return nil, err
	}
	srv, err := sipgo.NewServer(p.ua, sipgo.WithServerLogger(silent))
	if err != nil {
		return nil, err
	}
	p.dialog = &sipgo.DialogUA{Client: p.client, ContactHDR: sip.ContactHeader{Address: sip.Uri{Scheme: "sip", User: "check", Host: at.IP.String(), Port: at.Port}}}
	srv.OnInvite(p.answer)
	srv.OnAck(p.acknowledged)
	srv.OnBye(func(req *sip.Request, tx sip.ServerTransaction) {
		_ = tx.Respond(sip.NewResponseFromRequest(req, sip.StatusOK, "OK", nil)) // the box asks again
	})
	reading := &firstRead{PacketConn: p.conn, begun: make(chan struct{})}
	go func() { p.served <- srv.ServeUDP(reading) }()
	<-reading.begun
	return p, nil
}

// firstRead tells when the server reads from its socket: before, the client would open another one.
type firstRead struct {
	net.PacketConn
	begun chan struct{}
	once  sync.Once
}

func (f *firstRead) ReadFrom(b []byte) (int, net.Addr, error) {
	f.once.Do(func() { close(f.begun) })
	return f.PacketConn.ReadFrom(b)
}

// close closes all and waits for the reader.
func (p *phone) close() error {
	err := errors.Join(p.ua.Close(), p.media[0].Close(), p.media[1].Close())
	_ = p.conn.Close() // the agent may have done it
	<-p.served
	return err
}

func (p *phone) request(method sip.RequestMethod, to, from string) *sip.Request {
	uri := sip.Uri{Scheme: "sip", User: to, Host: p.domain}
	req := sip.NewRequest(method, uri)
	tag := sip.NewParams()
	tag.Add("tag", ids.Random(tokenBytes))
	req.AppendHeader(&sip.FromHeader{Address: sip.Uri{Scheme: "sip", User: from, Host: p.domain}, Params: tag})
	req.AppendHeader(&sip.ToHeader{Address: sip.Uri{Scheme: "sip", User: to, Host: p.domain}, Params: sip.NewParams()})
	contact := p.dialog.ContactHDR.Address
	contact.User = from
	req.AppendHeader(&sip.ContactHeader{Address: contact})
	req.SetDestination(p.server.String())
	return req
}

func (p *phone) register(ctx context.Context, name, password string) error {
	req := p.request(sip.REGISTER, name, name)
	req.Recipient = sip.Uri{Scheme: "sip", Host: p.domain}
	expires := sip.ExpiresHeader(120)
	req.AppendHeader(&expires)
	resp, err := p.client.Do(ctx, req)
	if err == nil && resp.StatusCode == sip.StatusUnauthorized {
		resp, err = p.client.DoDigestAuth(ctx, req, resp, sipgo.DigestAuth{Username: name, Password: password})
	}
	if err == nil && resp.StatusCode != sip.StatusOK {
		err = fmt.Errorf("it was answered %d %s", resp.StatusCode, resp.Reason)
	}
	return err
}

// answer takes the call as the callee.
func (p *phone) answer(req *sip.Request, tx sip.ServerTransaction) {
	remote, err := mediaOf(req.Body())
	if err == nil {
		var d *sipgo.DialogServerSession
		if d, err = p.dialog.ReadInvite(req, tx); err == nil {
			p.mu.Lock()
			p.taken = d
			p.mu.Unlock()
			err = d.RespondSDP(p.sdp(1)) // returns with the ACK
		}
	}
	select {
	case p.callee <- answered{remote, err}:
	default: // another fork of the same call
	}
}

// acknowledged takes the ACK of the callee's answer.
func (p *phone) acknowledged(req *sip.Request, tx sip.ServerTransaction) {
	p.mu.Lock()
	d := p.taken
	p.mu.Unlock()
	if d != nil {
		_ = d.ReadAck(req, tx) // of another dialog: the answer then waits, and says so
	}
}

// talk calls and listens at both ends.
func (p *phone) talk(ctx context.Context, names [2]string, password string) error {
	req := p.request(sip.INVITE, names[1], names[0])
	req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	req.SetBody(p.sdp(0))
	d, err := p.dialog.WriteInvite(ctx, req)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // what it was for is over
	if err := d.WaitAnswer(ctx, sipgo.AnswerOptions{Username: names[0], Password: password}); err != nil {
		return fmt.Errorf("nobody answers: %w", err)
	}
	if err := d.Ack(ctx); err != nil {
		return err
	}
	remote, err := mediaOf(d.InviteResponse.Body())
	if err != nil {
		return err
	}
	var far answered
	select {
	case <-ctx.Done():
		return ctx.Err()
	case far = <-p.callee:
	}
	if far.err == nil {
		far.err = p.hear(ctx, remote, far.remote)
	}
	return errors.Join(far.err, d.Bye(ctx))
}

// hear plays at both ends until both have heard the other.
func (p *phone) hear(ctx context.Context, caller, callee netip.AddrPort) error {
	playing, stop := context.WithCancel(ctx)
	defer stop()
	ends := make(chan error, 4)
	for i, to := range [2]netip.AddrPort{caller, callee} {
		tones := [2]float64{toneA, toneB}
		go func() { ends <- play(playing, p.media[i], to, tones[i]) }()
		go func() { ends <- listen(playing, p.media[i], tones[1-i]) }()
	}
	var err error
	for n := range cap(ends) {
		err = errors.Join(err, <-ends)
		if n == 1 || err != nil { // both have heard, or somebody will not
			stop()
		}
	}
	return err
}

func (p *phone) sdp(end int) []byte {
	at := p.media[end].LocalAddr().(*net.UDPAddr).AddrPort()
	return fmt.Appendf(nil, "v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n", at.Addr(), at.Addr(), at.Port())
}

// mediaOf reads where audio goes from a description that the box has made.
func mediaOf(sdp []byte) (at netip.AddrPort, err error) {
	var addr netip.Addr
	var port uint64
	for line := range strings.Lines(string(sdp)) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "c=IN IP4 "); ok {
			addr, err = netip.ParseAddr(rest)
		}
		if rest, ok := strings.CutPrefix(line, "m=audio "); ok && err == nil {
			number, _, _ := strings.Cut(rest, " ")
			port, err = strconv.ParseUint(number, 10, 16)
		}
	}
	if at = netip.AddrPortFrom(addr, uint16(port)); err != nil || !addr.IsValid() || port == 0 {
		return at, errors.Join(fmt.Errorf("the box's description of media has no address: %q", sdp), err)
	}
	return at, nil
}
