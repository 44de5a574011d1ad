package handshake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v2"
	"github.com/pion/transport/v2/packetio"

	"github.com/coraltele/sanchar/pkg/media/secure"
)

// Bounds of a handshake.
const (
	// limit is how long a handshake may take, over all attempts, from its first datagram on. A party
	// that was woken over a bad mobile network needs a dozen retransmissions of half a second.
	limit = 30 * time.Second
	// attempts are made again when one failed for another reason than the certificate: what was wrong may
	// have been a datagram of an earlier call.
	attempts = 3
	// linger is how long the last flight is repeated for a party that did not get it (RFC 6347 §4.2.4).
	linger = 10 * time.Second
	// interval is the time to the first retransmission (RFC 6347 §4.2.4.1 lets real-time media have less
	// than a second).
	interval = 500 * time.Millisecond
	// waiting is how many datagrams, and waitingBytes how much, wait to be read: two flights.
	waiting      = 32
	waitingBytes = 32 << 10
	mtu          = 1200
	label        = "EXTRACTOR-dtls_srtp" // RFC 5764 §4.2
)

// ErrFingerprint says that the party's certificate is not the one that it has vouched for.
var ErrFingerprint = errors.New("the certificate is not that of a=fingerprint")

// Config is what a handshake is about.
type Config struct {
	Identity     *Identity
	Fingerprints []Fingerprint // of the party; one of them must be right
	Active       bool          // we begin (RFC 4145 §4)
	Log          *slog.Logger
	Send         func(datagram []byte) // to the party; it is used no more after Done and linger, or Stop
	Done         func(Result)          // is called once, unless the handshake was stopped before
}

// Result is how a handshake ended: with an error, or with the keys for what the party sends and what is
// sent to it.
type Result struct {
	RX, TX secure.Master
	Err    error
}

// Handshake is one that runs.
type Handshake struct {
	cfg   Config
	inbox *packetio.Buffer
	first chan struct{} // holds a token when a datagram has come
	mute  atomic.Bool
	stop  context.CancelFunc
	ended chan struct{}
}

// Start begins a handshake, which ends with ctx, by Stop, or by itself. Its goroutine is gone when Ended
// says so.
func Start(ctx context.Context, cfg Config) *Handshake {
	ctx, cancel := context.WithCancel(ctx)
	h := &Handshake{cfg: cfg, inbox: packetio.NewBuffer(), first: make(chan struct{}, 1), stop: cancel, ended: make(chan struct{})}
	h.inbox.SetLimitCount(waiting)
	h.inbox.SetLimitSize(waitingBytes)
	go h.run(ctx)
	return h
}

// Hear gives the handshake a datagram of the party. It copies it and never blocks; what is too much is
// lost, as on the way.
func (h *Handshake) Hear(datagram []byte) {
	if _, err := h.inbox.Write(datagram); err != nil {
		return
	}
	select {
	case h.first <- struct{}{}:
	default:
	}
}

// Stop ends the handshake. Done is not called any more, unless it is being called.
func (h *Handshake) Stop() { h.stop() }

// Ended is closed when nothing of the handshake runs any more.
func (h *Handshake) Ended() <-chan struct{} { return h.ended }

func (h *Handshake) run(ctx context.Context) {
	defer close(h.ended)
	defer h.stop()
	defer h.close()
	if !h.cfg.Active {
		select {
		case <-ctx.Done():
			return
		case <-h.first:
		}
	}
	conn, result := h.agree(ctx)
	if ctx.Err() != nil && result.Err != nil {
		return
	}
	h.cfg.Done(result)
	if conn == nil {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(linger):
	}
	// What closes the connection would tell the party that its media ends.
	h.mute.Store(true)
	_ = conn.Close() // nothing is left to lose
}

func (h *Handshake) close() {
	h.mute.Store(true)
	_ = h.inbox.Close() // it is memory
}

// agree makes attempts until one succeeds or there is no sense in another.
func (h *Handshake) agree(ctx context.Context) (conn *dtls.Conn, r Result) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for range attempts {
		if conn, r = h.attempt(ctx); r.Err == nil || errors.Is(r.Err, ErrFingerprint) || ctx.Err() != nil {
			return conn, r
		}
		h.cfg.Log.Debug("DTLS handshake is tried again", "err", r.Err)
	}
	return nil, r
}

// attempt makes one handshake. A fault in the library ends it, and only it.
func (h *Handshake) attempt(ctx context.Context) (conn *dtls.Conn, r Result) {
	defer func() {
		if fault := recover(); fault != nil {
			h.cfg.Log.Error("DTLS handshake ended by a fault", "err", fmt.Sprint(fault), "stack", string(debug.Stack()))
			conn, r = nil, Result{Err: errors.New("a fault of the box")}
		}
	}()
	var refused error
	cfg := h.config(&refused)
	var err error
	if h.cfg.Active {
		conn, err = dtls.ClientWithContext(ctx, &wire{h}, cfg)
	} else {
		conn, err = dtls.ServerWithContext(ctx, &wire{h}, cfg)
	}
	switch {
	case refused != nil:
		return nil, Result{Err: refused}
	case errors.Is(err, context.DeadlineExceeded):
		return nil, Result{Err: errors.New("the party did not finish the handshake in time")}
	case err != nil:
		return nil, Result{Err: err}
	}
	if r = h.keys(conn); r.Err != nil {
		_ = conn.Close() // the party shall know that it failed
		return nil, r
	}
	return conn, r
}

// config is restricted to what a handshake for media needs. The library's open faults are in what is
// left out: keys that are shared beforehand, and data over DTLS.
func (h *Handshake) config(refused *error) *dtls.Config {
	return &dtls.Config{
		Certificates: h.certificates(),
		CipherSuites: []dtls.CipherSuiteID{
			dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, dtls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		},
		SRTPProtectionProfiles: []dtls.SRTPProtectionProfile{
			dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80, dtls.SRTP_AES128_CM_HMAC_SHA1_32,
		},
		ExtendedMasterSecret: dtls.RequireExtendedMasterSecret,
		ClientAuth:           dtls.RequireAnyClientCert,
		InsecureSkipVerify:   true, // of chain and name: the fingerprint vouches for the certificate (RFC 5763 §5)
		VerifyPeerCertificate: func(raw [][]byte, _ chains) error {
			*refused = h.verify(raw)
			return *refused
		},
		FlightInterval: interval,
		MTU:            mtu,
		LoggerFactory:  silence{},
	}
}

// verify reports whether the party's certificate is one that it has vouched for in SDP.
func (h *Handshake) verify(raw [][]byte) error {
	if len(raw) > 0 {
		for _, f := range h.cfg.Fingerprints {
			if f.of(raw[0]) {
				return nil
			}
		}
	}
	return ErrFingerprint
}

// keys takes the keys out of a finished handshake: of the client, of the server, then their salts
// (RFC 5764 §4.2).
func (h *Handshake) keys(conn *dtls.Conn) Result {
	profile, ok := conn.SelectedSRTPProtectionProfile()
	suite := secure.SuiteOfProfile(uint16(profile))
	if !ok || suite == secure.None {
		return Result{Err: errors.New("the party agrees to no protection of media (use_srtp)")}
	}
	state := conn.ConnectionState()
	b, err := state.ExportKeyingMaterial(label, nil, 2*suite.MasterSize())
	if err != nil {
		return Result{Err: fmt.Errorf("take keys out of the handshake: %w", err)}
	}
	key, salt := suite.KeySize(), suite.SaltSize()
	client := secure.Master{Suite: suite, Key: append(append([]byte(nil), b[:key]...), b[2*key:2*key+salt]...)}
	server := secure.Master{Suite: suite, Key: append(append([]byte(nil), b[key:2*key]...), b[2*key+salt:]...)}
	if h.cfg.Active {
		return Result{RX: server, TX: client}
	}
	return Result{RX: client, TX: server}
}
