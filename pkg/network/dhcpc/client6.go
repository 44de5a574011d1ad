package dhcpc

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/dhcpv6/nclient6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
)

// Lease6 is what a DHCPv6 server gave a link, RFC 8415.
type Lease6 struct {
	Address netip.Addr   // none when only a prefix was asked for
	Prefix  netip.Prefix // delegated, none when none was asked for
	DNS     []netip.Addr
	Renew   time.Time
	Until   time.Time
}

// settings6 is what a client asks for.
type settings6 struct {
	Address, Prefix bool
	Length          int
}

// prefixLength is the hint where the document has none.
const prefixLength = 56

// asker6 is one exchange with servers.
type asker6 interface {
	RapidSolicit(ctx context.Context, modifiers ...dhcpv6.Modifier) (*dhcpv6.Message, error)
	SendAndRead(ctx context.Context, dest *net.UDPAddr, msg *dhcpv6.Message, match nclient6.Matcher) (*dhcpv6.Message, error)
	RemoteAddr() *net.UDPAddr
	InterfaceAddr() net.HardwareAddr
	Close() error
}

// want6 says which links want IPv6 addresses or prefixes.
func (c *Clients) want6(doc netcfg.Document) {
	want := map[string]settings6{}
	for _, f := range doc.Interfaces {
		if f.DHCP6 == nil {
			continue
		}
		s := settings6{Address: f.DHCP6.Address, Prefix: f.DHCP6.DelegateTo != "", Length: f.DHCP6.PrefixLength}
		if s.Length == 0 {
			s.Length = prefixLength
		}
		want[f.Link] = s
		if leases, _ := c.Leases6(); leases[f.Link].Until.IsZero() {
			c.remember6(f.Link, s)
		}
	}
	c.workers6.Want(want)
}

// Leases6 returns the IPv6 leases of links, and a channel that is closed when they have changed.
func (c *Clients) Leases6() (leases map[string]Lease6, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leases6, c.changed
}

func (c *Clients) tell6(link string, l *Lease6) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := maps.Clone(c.leases6)
	if next == nil {
		next = map[string]Lease6{}
	}
	delete(next, link)
	if l != nil {
		next[link] = *l
	}
	c.leases6 = next
	close(c.changed)
	c.changed = make(chan struct{})
}

// remember6 publishes a lease that is on disk and still lasts, and returns it.
func (c *Clients) remember6(link string, s settings6) *held6 {
	held := c.load6(link)
	if held == nil {
		return nil
	}
	l, err := held.read(s)
	if err != nil || !time.Now().Before(l.Until) {
		return nil
	}
	c.tell6(link, &l)
	return held
}

// work6 gets and keeps what a link wants until ctx ends.
func (c *Clients) work6(ctx context.Context, link string, s settings6) {
	defer c.tell6(link, nil)
	held := c.remember6(link, s)
	for wait := leastWait; ctx.Err() == nil; {
		next, l, err := c.ask6(ctx, link, s, held)
		if err == nil {
			held, wait = next, leastWait
			c.log.Info("IPv6 leased", "iface", link, "address", l.Address, "prefix", l.Prefix, "until", l.Until)
			c.tell6(link, &l)
			if err := c.save6(link, held); err != nil {
				c.log.Warn("the lease is not kept over a restart", "iface", link, "err", err)
			}
			pause(ctx, max(time.Until(l.Renew), leastRenew))
			continue
		}
		if held != nil {
			if l, err := held.read(s); err != nil || !time.Now().Before(l.Until) {
				c.log.Warn("the IPv6 lease is lost", "iface", link, "err", err)
				held = nil
				c.tell6(link, nil)
			}
		}
		c.log.Debug("no DHCPv6 server answered", "iface", link, "err", err)
		pause(ctx, wait)
		wait = min(2*wait, mostWait)
	}
}

// ask6 asks for a new lease, or for more time of the one that is held.
func (c *Clients) ask6(ctx context.Context, link string, s settings6, held *held6) (next *held6, l Lease6, err error) {
	client, err := c.dial6(link)
	if err != nil {
		return nil, l, err
	}
	defer func() {
		if err := client.Close(); err != nil {
			c.log.Warn("socket of the DHCPv6 client not closed", "iface", link, "err", err)
		}
	}()
	var reply *dhcpv6.Message
	if held != nil {
		reply, err = renew6(ctx, client, held.reply)
	} else {
		reply, err = client.RapidSolicit(ctx, s.modifiers(client.InterfaceAddr())...)
	}
	if err != nil {
		return nil, l, err
	}
	next = &held6{reply, time.Now().UTC()}
	l, err = next.read(s)
	return next, l, err
}

// modifiers say who we are and what we want. The identifier is made of the MAC address alone
// (RFC 8415 §11.4), so that it is the same after each start.
func (s settings6) modifiers(mac net.HardwareAddr) []dhcpv6.Modifier {
	mods := []dhcpv6.Modifier{
		dhcpv6.WithClientID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: mac}),
		dhcpv6.WithRequestedOptions(dhcpv6.OptionDNSRecursiveNameServer),
	}
	if s.Prefix {
		hint := &dhcpv6.OptIAPrefix{Prefix: &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(s.Length, 128)}} // RFC 8415 §18.2.1
		mods = append(mods, dhcpv6.WithIAPD([4]byte{0, 0, 0, 1}, hint))
	}
	return mods
}

// renew6 asks the same server for more time, RFC 8415 §18.2.4.
func renew6(ctx context.Context, client asker6, reply *dhcpv6.Message) (*dhcpv6.Message, error) {
	msg, err := dhcpv6.NewMessage()
	if err != nil {
		return nil, err
	}
	msg.MessageType = dhcpv6.MessageTypeRenew
	for _, code := range []dhcpv6.OptionCode{dhcpv6.OptionClientID, dhcpv6.OptionServerID, dhcpv6.OptionIANA, dhcpv6.OptionIAPD} {
		if opt := reply.GetOneOption(code); opt != nil {
			msg.AddOption(opt)
		}
	}
	msg.AddOption(dhcpv6.OptElapsedTime(0))
	return client.SendAndRead(ctx, client.RemoteAddr(), msg, nclient6.IsMessageType(dhcpv6.MessageTypeReply))
}

var errNoLease6 = errors.New("the server gave nothing of what was asked for")

// held6 is a server's answer and when it came.
type held6 struct {
	reply *dhcpv6.Message
	at    time.Time
}

// read takes from an answer what was asked for, and refuses what no link can have.
func (h *held6) read(s settings6) (l Lease6, err error) {
	renew, valid := longest, longest
	if ia := h.reply.Options.OneIANA(); s.Address && ia != nil {
		if a := ia.Options.OneAddress(); a != nil && a.ValidLifetime > 0 {
			if ip, ok := netip.AddrFromSlice(a.IPv6Addr); ok && ip.Is6() && ip.IsGlobalUnicast() {
				l.Address, renew, valid = ip, lesser(ia.T1, renew), min(valid, a.ValidLifetime)
			}
		}
	}
	if ia := h.reply.Options.OneIAPD(); s.Prefix && ia != nil {
		for _, p := range ia.Options.Prefixes() {
			if p.Prefix == nil || p.ValidLifetime <= 0 {
				continue
			}
			ip, ok := netip.AddrFromSlice(p.Prefix.IP)
			bits, size := p.Prefix.Mask.Size()
			if ok && ip.Is6() && ip.IsGlobalUnicast() && size == 128 && bits > 0 && bits <= 64 {
				l.Prefix, renew, valid = netip.PrefixFrom(ip, bits).Masked(), lesser(ia.T1, renew), min(valid, p.ValidLifetime)
				break
			}
		}
	}
	if !l.Address.IsValid() && !l.Prefix.IsValid() {
		return l, errNoLease6
	}
	l.Until = h.at.Add(valid)
	l.Renew = h.at.Add(min(renew, valid/2))
	for _, ip := range h.reply.Options.DNS() {
		if a, ok := netip.AddrFromSlice(ip); ok && a.Is6() {
			l.DNS = append(l.DNS, a)
		}
	}
	return l, nil
}

// lesser takes a T1 into account; 0 leaves the time to us, RFC 8415 §21.4.
func lesser(t1, other time.Duration) time.Duration {
	if t1 <= 0 {
		return other
	}
	return min(t1, other)
}
