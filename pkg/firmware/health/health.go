// Package health finds out whether a box does what it is for: daemons answer, stores open, the
// network is as it should be, SIP and the page answer, and a call through the box carries sound.
package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Switch is what is asked of switchd.
type Switch interface {
	Status(ctx context.Context) (ctl.SwitchStatus, error)
	MakeProbes(ctx context.Context) ([]ctl.Probe, error)
	DropProbes(ctx context.Context) error
}

// Media is what is asked of mediad.
type Media interface {
	Status(ctx context.Context) (ctl.MediaStatus, error)
}

// Network is what is asked of netd.
type Network interface {
	State(ctx context.Context) (ctl.NetState, error)
}

// Config says whom to ask.
type Config struct {
	Switch  Switch
	Media   Media
	Network Network
	Stores  func(ctx context.Context) error // whether what is kept can be read
	Page    string                          // address of the page, on the box's loopback
	Before  Faults                          // of the version before: what was as bad then is not the fault of this one
	Log     *slog.Logger
}

const (
	// stepTime bounds each step but the call.
	stepTime = 10 * time.Second
	// callTime bounds the call: sign-in, ringing, two seconds of sound, hanging up.
	callTime = 40 * time.Second
)

// Check returns the first thing that is not well, nil when all is.
func Check(ctx context.Context, c Config) error {
	for _, step := range [...]struct {
		name string
		time time.Duration
		do   func(context.Context) error
	}{
		{"the records", stepTime, c.Stores},
		{"the network", stepTime, c.network},
		{"media", stepTime, c.media},
		{"SIP", stepTime, c.options},
		{"the page", stepTime, c.page},
		{"a call through the box", callTime, c.call},
	} {
		limited, cancel := context.WithTimeout(ctx, step.time)
		err := step.do(limited)
		cancel()
		if err != nil {
			c.Log.Warn("the box is not well", "step", step.name, "err", err)
			return fmt.Errorf("%s: %s", step.name, public(err))
		}
	}
	return nil
}

// public is what people are told: of a problem its text alone.
func public(err error) string {
	if p, ok := errors.AsType[*problem.Error](err); ok {
		return p.Text
	}
	return err.Error()
}

func (c *Config) network(ctx context.Context) error {
	now, err := FaultsOf(ctx, c.Network)
	if err != nil {
		return err
	}
	return now.Beyond(c.Before)
}

func (c *Config) media(ctx context.Context) error {
	_, err := c.Media.Status(ctx)
	return err
}

// options asks the box over SIP whether it is there (RFC 3261 §11).
func (c *Config) options(ctx context.Context) error {
	st, err := c.Switch.Status(ctx)
	if err != nil {
		return err
	}
	at, err := listener(st)
	if err != nil {
		return err
	}
	return ask(ctx, at)
}

// listener is where the box itself reaches its SIP.
func listener(st ctl.SwitchStatus) (at netip.AddrPort, err error) {
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	for _, l := range st.Listeners {
		switch a := l.Address.Addr(); {
		case l.Transport != "udp":
		case a.IsUnspecified(), a == loopback:
			return netip.AddrPortFrom(loopback, l.Address.Port()), nil
		case a.Is4():
			at = l.Address
		}
	}
	if !at.IsValid() {
		return at, errors.New("nobody listens to UDP")
	}
	return at, nil
}

func ask(ctx context.Context, sip netip.AddrPort) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", sip.String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end) // it is a socket
	}
	at, id := conn.LocalAddr(), ids.Random(tokenBytes)
	_, err = fmt.Fprintf(conn, "OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s;rport\r\nMax-Forwards: 70\r\nFrom: <sip:health@%s>;tag=%s\r\n"+
		"To: <sip:%s>\r\nCall-ID: %s\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n", sip, at, id, at, id, sip, id)
	if err != nil {
		return err
	}
	buf := make([]byte, maxDatagram)
	n, err := conn.Read(buf)
	if err != nil {
		return err
	}
	if line, _, _ := strings.Cut(string(buf[:n]), "\r\n"); line != "SIP/2.0 200 OK" {
		return fmt.Errorf("OPTIONS was answered %q", line)
	}
	return nil
}

// page fetches the page. Its certificate is the box's own: what is asked is whether it answers.
func (c *Config) page(ctx context.Context) error {
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Page, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close() // not read
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it was answered %s", resp.Status)
	}
	return nil
}
