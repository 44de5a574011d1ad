package dhcpc

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"github.com/coraltele/sanchar/pkg/base/fsx"
)

// RFC 2131 §3.3: the longest time means forever. We come back to it after a year.
const longest = 365 * 24 * time.Hour

// read takes from an answer what a link needs, and refuses what no link can have.
func read(held *nclient4.Lease) (l Lease, err error) {
	ip, ok := netip.AddrFromSlice(held.ACK.YourIPAddr.To4())
	ones, bits := held.ACK.SubnetMask().Size()
	span := held.ACK.IPAddressLeaseTime(0)
	switch {
	case !ok || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLoopback():
		return l, errors.New("it is no address of a host")
	case bits != 32 || ones == 0:
		return l, errors.New("it has no subnet mask") // option 1 is asked for; without it nothing is on the link
	case span <= 0:
		return l, errors.New("it has no time")
	}
	l = Lease{Address: netip.PrefixFrom(ip, ones), Since: held.CreationTime, Until: held.CreationTime.Add(min(span, longest)), Domain: held.ACK.DomainName()}
	if routers := addrs(held.ACK.Router()); len(routers) > 0 {
		l.Router = routers[0]
	}
	l.DNS, l.NTP = addrs(held.ACK.DNS()), addrs(held.ACK.NTPServers())
	if servers := addrs([]net.IP{held.ACK.ServerIdentifier()}); len(servers) > 0 {
		l.Server = servers[0]
	}
	return l, nil
}

func addrs(ips []net.IP) (all []netip.Addr) {
	for _, ip := range ips {
		if a, ok := netip.AddrFromSlice(ip.To4()); ok && !a.IsUnspecified() {
			all = append(all, a)
		}
	}
	return all
}

func expired(held *nclient4.Lease) bool {
	l, err := read(held)
	return err != nil || !time.Now().Before(l.Until)
}

// kept is a lease on disk: the server's words, and when it said them.
type kept struct {
	Offer []byte    `json:"offer"`
	ACK   []byte    `json:"ack"`
	At    time.Time `json:"at"`
}

func (c *Clients) save(link string, held *nclient4.Lease) error {
	data, err := json.Marshal(kept{held.Offer.ToBytes(), held.ACK.ToBytes(), held.CreationTime})
	if err != nil {
		return err
	}
	return fsx.WriteFile(c.file(link), append(data, '\n'), 0o600)
}

// load returns the lease of before the restart, nil when there is none that still lasts.
func (c *Clients) load(link string) *nclient4.Lease {
	data, err := os.ReadFile(c.file(link))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var held *nclient4.Lease
	if err == nil {
		held, err = decode(data)
	}
	if err != nil {
		c.log.Warn("the old lease cannot be read", "err", describe(link, err))
		return nil
	}
	if expired(held) {
		return nil
	}
	return held
}

func decode(data []byte) (*nclient4.Lease, error) {
	var k kept
	if err := json.Unmarshal(data, &k); err != nil {
		return nil, err
	}
	offer, err := dhcpv4.FromBytes(k.Offer)
	if err != nil {
		return nil, err
	}
	ack, err := dhcpv4.FromBytes(k.ACK)
	if err != nil {
		return nil, err
	}
	return &nclient4.Lease{Offer: offer, ACK: ack, CreationTime: k.At}, nil
}
