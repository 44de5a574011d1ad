package handshake

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"time"

	"github.com/pion/logging"
)

type chains = [][]*x509.Certificate

func (h *Handshake) certificates() []tls.Certificate {
	return []tls.Certificate{h.cfg.Identity.certificate}
}

// wire is what the library takes for a connection: datagrams that the relay heard, and that it sends.
type wire struct{ h *Handshake }

func (w *wire) Read(b []byte) (int, error) { return w.h.inbox.Read(b) }

func (w *wire) Write(b []byte) (int, error) {
	if !w.h.mute.Load() {
		w.h.cfg.Send(b)
	}
	return len(b), nil
}

// Close does nothing: a further attempt reads the same datagrams.
func (w *wire) Close() error { return nil }

func (w *wire) LocalAddr() net.Addr  { return &net.UDPAddr{} }
func (w *wire) RemoteAddr() net.Addr { return &net.UDPAddr{} }

func (w *wire) SetDeadline(t time.Time) error     { return w.h.inbox.SetReadDeadline(t) }
func (w *wire) SetReadDeadline(t time.Time) error { return w.h.inbox.SetReadDeadline(t) }
func (w *wire) SetWriteDeadline(time.Time) error  { return nil }

// silence takes the library's own log lines, which any datagram can make it write. What it returns as
// errors is logged by us.
type silence struct{}

func (silence) NewLogger(string) logging.LeveledLogger { return silence{} }

func (silence) Trace(string)          {}
func (silence) Tracef(string, ...any) {}
func (silence) Debug(string)          {}
func (silence) Debugf(string, ...any) {}
func (silence) Info(string)           {}
func (silence) Infof(string, ...any)  {}
func (silence) Warn(string)           {}
func (silence) Warnf(string, ...any)  {}
func (silence) Error(string)          {}
func (silence) Errorf(string, ...any) {}
