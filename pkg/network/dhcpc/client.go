// Package dhcpc asks DHCP servers for the addresses of links, RFC 2131 and RFC 8415, and keeps the
// leases over restarts.
package dhcpc

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/insomniacslk/dhcp/dhcpv6/nclient6"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/workers"
)

const (
	leastWait = time.Second      // before a server is asked again
	mostWait  = 64 * time.Second // RFC 2131 §4.1
	// RFC 2131 §4.4.5: a lease is renewed after half of its time, and a server that does not answer is
	// asked again after half of what is left, but not more often than this.
	leastRenew = 60 * time.Second
)

// Lease is what a server gave a link.
type Lease struct {
	Address netip.Prefix `json:"address"`
	Router  netip.Addr   `json:"router,omitzero"`
	DNS     []netip.Addr `json:"dns,omitempty"`
	NTP     []netip.Addr `json:"ntp,omitempty"`
	Domain  string       `json:"domain,omitempty"`
	Server  netip.Addr   `json:"server,omitzero"`
	Since   time.Time    `json:"since"`
	Until   time.Time    `json:"until"`
}

// Clients asks for the addresses of all links that want one. Its methods may be called from any goroutine.
type Clients struct {
	dir     string
	log     *slog.Logger
	workers *workers.Set[settings]
	dial    func(link string) (asker, error)

	workers6 *workers.Set[settings6]
	dial6    func(link string) (asker6, error)

	mu      sync.Mutex
	leases  map[string]Lease
	leases6 map[string]Lease6
	changed chan struct{} // closed when one of them is replaced
}

// settings is what a client tells a server.
type settings struct{ Hostname, ClientID string }

// asker is one exchange after another with servers.
type asker interface {
	Request(ctx context.Context, modifiers ...dhcpv4.Modifier) (*nclient4.Lease, error)
	Renew(ctx context.Context, lease *nclient4.Lease, modifiers ...dhcpv4.Modifier) (*nclient4.Lease, error)
	Close() error
}

// New returns clients that keep their leases in dir, which is made if it is not there.
func New(dir string, log *slog.Logger) (*Clients, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	c := &Clients{dir: dir, log: log, changed: make(chan struct{}), dial: func(link string) (asker, error) { return nclient4.New(link) }}
	c.dial6 = func(link string) (asker6, error) { return nclient6.New(link) }
	c.workers, c.workers6 = workers.New(c.work), workers.New(c.work6)
	return c, nil
}

// Want says which links of a document want addresses. What others had is forgotten. A lease of before
// a restart is there when it returns, so that its address is never taken away.
func (c *Clients) Want(doc netcfg.Document) {
	want := map[string]settings{}
	for _, f := range doc.Interfaces {
		if f.DHCP4 != nil {
			name := f.DHCP4.Hostname
			if name == "" {
				name = doc.HostnameOr()
			}
			want[f.Link] = settings{name, f.DHCP4.ClientID}
		}
	}
	for link := range want {
		if leases, _ := c.Leases(); !leases[link].Address.IsValid() {
			c.remember(link)
		}
	}
	c.workers.Want(want)
	c.want6(doc)
}

// remember publishes a lease that is on disk and still lasts, and returns it.
func (c *Clients) remember(link string) *nclient4.Lease {
	held := c.load(link)
	if held == nil {
		return nil
	}
	l, err := read(held)
	if err != nil {
		return nil
	}
	c.tell(link, &l)
	return held
}

// Run asks until ctx ends.
func (c *Clients) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.workers6.Run(ctx) }) // it ends with ctx only
	defer wg.Wait()
	return c.workers.Run(ctx)
}

// Leases returns the leases of links, and a channel that is closed when they have changed.
func (c *Clients) Leases() (leases map[string]Lease, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leases, c.changed
}

// tell publishes a lease, or with nil that there is none.
func (c *Clients) tell(link string, l *Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := maps.Clone(c.leases)
	if next == nil {
		next = map[string]Lease{}
	}
	delete(next, link)
	if l != nil {
		next[link] = *l
	}
	c.leases = next
	close(c.changed)
	c.changed = make(chan struct{})
}

// work gets and keeps a lease of one link until ctx ends. On an orderly end of the program the lease
// stays on disk: the next start has the address at once.
func (c *Clients) work(ctx context.Context, link string, s settings) {
	defer c.tell(link, nil)
	held := c.remember(link)
	for wait := leastWait; ctx.Err() == nil; wait = min(2*wait, mostWait) {
		next, err := c.ask(ctx, link, s, held)
		switch {
		case err == nil:
			held, wait = c.keep(ctx, link, s, next), leastWait/2
			continue
		case refused(err), held != nil && expired(held):
			c.log.Warn("the address is lost", "iface", link, "err", err)
			held = nil
			c.tell(link, nil)
		case ctx.Err() == nil:
			c.log.Debug("no DHCP server answered", "iface", link, "err", err)
		}
		pause(ctx, wait)
	}
}

// ask asks for a new lease, or for more time of the one that is held.
func (c *Clients) ask(ctx context.Context, link string, s settings, held *nclient4.Lease) (*nclient4.Lease, error) {
	client, err := c.dial(link)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := client.Close(); err != nil {
			c.log.Warn("socket of the DHCP client not closed", "iface", link, "err", err)
		}
	}()
	if held != nil {
		return client.Renew(ctx, held, s.modifiers()...)
	}
	return client.Request(ctx, s.modifiers()...)
}

func (s settings) modifiers() []dhcpv4.Modifier {
	mods := []dhcpv4.Modifier{
		dhcpv4.WithOption(dhcpv4.OptHostName(s.Hostname)),
		dhcpv4.WithRequestedOptions(dhcpv4.OptionNTPServers, dhcpv4.OptionDomainName),
	}
	if id, err := hex.DecodeString(s.ClientID); err == nil && len(id) > 0 {
		mods = append(mods, dhcpv4.WithOption(dhcpv4.OptClientIdentifier(id)))
	}
	return mods
}

// keep holds a lease, renews it in time, and returns it when it has to be asked for anew.
func (c *Clients) keep(ctx context.Context, link string, s settings, held *nclient4.Lease) *nclient4.Lease {
	for {
		l, err := read(held)
		if err != nil {
			c.log.Warn("a DHCP server gave what is no lease", "iface", link, "err", err)
			pause(ctx, mostWait)
			return nil
		}
		if err := c.save(link, held); err != nil {
			c.log.Warn("the lease is not kept over a restart", "iface", link, "err", err)
		}
		c.log.Info("address leased", "iface", link, "address", l.Address, "router", l.Router, "until", l.Until)
		c.tell(link, &l)
		next, err := c.renew(ctx, link, s, held, l)
		if err != nil {
			c.log.Warn("the address is lost", "iface", link, "err", err)
			c.tell(link, nil)
			return nil
		}
		if held = next; ctx.Err() != nil {
			return held
		}
	}
}

// renew waits for half of the lease's time and asks for more until there is none left.
func (c *Clients) renew(ctx context.Context, link string, s settings, held *nclient4.Lease, l Lease) (*nclient4.Lease, error) {
	for now := time.Now(); ; now = time.Now() {
		left := l.Until.Sub(now)
		if left <= 0 {
			return nil, errExpired
		}
		wait := min(max(left/2, leastRenew), left)
		if !pause(ctx, wait) {
			return held, nil
		}
		next, err := c.ask(ctx, link, s, held)
		if err == nil {
			return next, nil
		}
		if refused(err) {
			return nil, err
		}
		c.log.Debug("no DHCP server renewed the lease", "iface", link, "err", err)
	}
}

var errExpired = errors.New("the lease is over and no server renewed it")

func refused(err error) bool {
	_, nak := errors.AsType[*nclient4.ErrNak](err)
	return nak
}

// pause waits, and reports whether ctx still lasts.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (c *Clients) file(link string) string { return filepath.Join(c.dir, link+".json") }

func describe(link string, err error) error { return fmt.Errorf("lease of %s: %w", link, err) }
