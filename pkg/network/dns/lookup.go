package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/miekg/dns"
)

// Lookup asks servers, one after the other, for the addresses of a name. It returns when it has no
// goroutine left, which the resolver of the standard library does not.
func Lookup(ctx context.Context, servers []netip.AddrPort, name string) (all []netip.Addr, err error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	err = errors.New("no name server is known")
	for _, s := range servers {
		if all, err = addressesAt(ctx, s, name); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err == nil && len(all) == 0 {
		err = errors.New("the name has no address")
	}
	return all, err
}

func addressesAt(ctx context.Context, server netip.AddrPort, name string) (all []netip.Addr, err error) {
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		m, _, err := (&dns.Client{Timeout: askTime}).ExchangeContext(ctx, new(dns.Msg).SetQuestion(dns.Fqdn(name), kind), server.String())
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", server, err)
		}
		for _, rr := range m.Answer {
			var ip []byte
			switch r := rr.(type) {
			case *dns.A:
				ip = r.A
			case *dns.AAAA:
				ip = r.AAAA
			}
			if a, ok := netip.AddrFromSlice(ip); ok {
				all = append(all, a.Unmap())
			}
		}
	}
	return all, nil
}
