package hooks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Limits of a request. A target that is slower keeps its own events back, and nobody else's.
const (
	connectTime  = 5 * time.Second
	requestTime  = 15 * time.Second // Standard Webhooks advises 15 to 30 s
	idleTime     = time.Minute      // how long a connection is kept for the next event
	maxAnswer    = 16 << 10         // bytes of an answer that are read; nothing in them matters
	maxAnswerTop = 16 << 10         // bytes of its header
)

// errOwn is a target that events must not go to: who can set a hook must not reach what only the box
// itself can reach.
var errOwn = errors.New("address of the box itself, or valid on one link only")

// allowed reports, as an error, an address that is no target. own are the box's.
func allowed(a netip.Addr, own []netip.Addr) error {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.Is4() && a.As4()[0] == 0 { // neither loopback, link-local, multicast nor broadcast
		return fmt.Errorf("%s: %w", a, errOwn)
	}
	for _, o := range own {
		if o.Unmap().WithZone("") == a {
			return fmt.Errorf("%s: %w", a, errOwn)
		}
	}
	return nil
}

// guardAddress refuses a connection to what is no target. It sees the address that a name stands for
// at this moment.
func guardAddress(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	var addrs []netip.Addr
	for _, o := range own {
		if p, err := netip.ParsePrefix(o.String()); err == nil {
			addrs = append(addrs, p.Addr())
		}
	}
	return allowed(ap.Addr(), addrs)
}

// newTransport returns the way to a hook's target: verified TLS, no proxy.
func newTransport(s *ctl.HookSpec, guard func(network, address string, c syscall.RawConn) error) (*http.Transport, error) {
	roots, err := pool(s.CA)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: connectTime, Control: guard}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return d.DialContext(ctx, network, address)
		},
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    connectTime,
		ResponseHeaderTimeout:  requestTime,
		MaxResponseHeaderBytes: maxAnswerTop,
		MaxIdleConnsPerHost:    1,
		MaxConnsPerHost:        2, // an event, and an admin's test
		IdleConnTimeout:        idleTime,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}, nil
}
