package admind

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/pki"
	"github.com/coraltele/sanchar/pkg/platform/seal"
)

// followPause is how soon netd is asked again after it went away.
const followPause = 5 * time.Second

// newCertificate returns what the page shows: of the box's CA, which is switchd's, with a key of
// our own that nobody else has.
func newCertificate(dir string, chip *seal.Key, ca ctl.Switch, log *slog.Logger) (*pki.Server, error) {
	issue := func(ctx context.Context, names []string, ips []netip.Addr, pub *ecdsa.PublicKey) ([]byte, error) {
		key, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			return nil, err
		}
		for _, ip := range ips {
			names = append(names, ip.String())
		}
		c, err := ca.Sign(ctx, ctl.CertificateRequest{PublicKey: key, Names: names})
		return []byte(c.PEM), err
	}
	return pki.OpenServer(dir, chip, issue, time.Now, log)
}

// followLinks keeps the certificate's addresses those that the box has.
func (d *Daemon) followLinks(ctx context.Context) error {
	name := func(addrs []netip.Addr) {
		d.cert.SetNames([]string{"localhost"}, append(addrs, netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()))
	}
	name(nil)
	for ctx.Err() == nil {
		err := d.links.Events(ctx, func(ev ctl.NetEvent) error {
			if ev.Links != nil {
				name(addressesOf(ev.Links))
			}
			return nil
		})
		d.log("net").Debug("netd's events ended", "err", err)
		t := time.NewTimer(followPause)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
	return nil
}

func addressesOf(links []ctl.Link) (addrs []netip.Addr) {
	for _, l := range links {
		for _, p := range l.Addresses {
			if a := p.Addr(); !a.IsLinkLocalUnicast() {
				addrs = append(addrs, a)
			}
		}
	}
	return addrs
}
