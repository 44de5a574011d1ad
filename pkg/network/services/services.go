package services

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coraltele/sanchar/pkg/network/dhcp"
	"github.com/coraltele/sanchar/pkg/network/dns"
	"github.com/coraltele/sanchar/pkg/network/lldp"
	"github.com/coraltele/sanchar/pkg/network/mdns"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/netmon"
	"github.com/coraltele/sanchar/pkg/network/ntp"
	"github.com/coraltele/sanchar/pkg/network/ra"
)

const (
	lookAgain  = time.Minute // at the ports of the other daemons
	retryAfter = 5 * time.Second

	msgStarted = "service started"
	msgEnded   = "service ended by itself, started again"
	msgNoTable = "the leases cannot be read, no addresses are given"
)

// Config names what services need.
type Config struct {
	Dir       string // of the leases
	Version   string
	Monitor   *netmon.Monitor
	Ports     func(ctx context.Context) Ports // where the page and SIP are now
	Provision string                          // path of phones' settings
	Log       *slog.Logger
}

// Services are those for the zones. They run once a document was applied.
type Services struct {
	cfg     Config
	changed chan struct{} // one waiting change stands for all

	mu      sync.Mutex
	doc     *netcfg.Document
	learned []netip.Addr
	units   map[string]*unit // that run; written by Run's goroutine only
	waiting []string         // links that have no address to serve DHCP from yet

	table  atomic.Pointer[dhcp.Table]
	client atomic.Pointer[ntp.Client]
}

// unit is one service that runs.
type unit struct {
	name  string
	cfg   any // another one means another unit
	links []string
	run   runner
	since time.Time

	cancel context.CancelFunc
	ended  chan struct{}
	fault  atomic.Pointer[string]
}

type runner interface {
	Run(ctx context.Context) error
}

// New returns services that do nothing yet.
func New(cfg Config) *Services {
	return &Services{cfg: cfg, changed: make(chan struct{}, 1), units: map[string]*unit{}}
}

// Apply makes services as a document says, soon. It does not wait and never fails: what cannot run is
// tried again, and told by Status.
func (s *Services) Apply(doc netcfg.Document) {
	s.mu.Lock()
	s.doc = &doc
	s.mu.Unlock()
	s.poke()
}

// Learned tells the name servers that the provider told; the document's own go before them.
func (s *Services) Learned(servers []netip.Addr) {
	s.mu.Lock()
	same := slices.Equal(s.learned, servers)
	s.learned = slices.Clone(servers)
	s.mu.Unlock()
	if !same {
		s.poke()
	}
}

func (s *Services) poke() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Run keeps services as documents and links want them, until ctx ends and all have stopped.
func (s *Services) Run(ctx context.Context) error {
	defer s.closeTable()
	defer s.stopAll()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		links, moved := s.cfg.Monitor.Links()
		if links != nil {
			s.adapt(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-moved:
		case <-s.changed:
		case <-again.C:
		}
	}
}

// adapt starts, stops and replaces what has changed.
func (s *Services) adapt(ctx context.Context) {
	s.mu.Lock()
	doc, learned := s.doc, s.learned
	s.mu.Unlock()
	if doc == nil {
		return
	}
	links, _ := s.cfg.Monitor.Links()
	f := facts{doc: *doc, links: links, learned: learned, ports: s.cfg.Ports(ctx), version: s.cfg.Version, provision: s.cfg.Provision}
	wanted := s.wanted(f)
	for name, u := range s.units {
		at := slices.IndexFunc(wanted, func(w *unit) bool { return w.name == name })
		if at < 0 || !reflect.DeepEqual(wanted[at].cfg, u.cfg) {
			s.stop(u)
		}
	}
	for _, w := range wanted {
		if s.units[w.name] == nil {
			s.start(ctx, w)
		}
	}
}

// wanted are the services that should run. Nothing of them is made yet but values: a unit's runner is
// made when it starts.
func (s *Services) wanted(f facts) (all []*unit) {
	add := func(name string, cfg any, links []string) {
		if len(links) > 0 {
			all = append(all, &unit{name: name, cfg: cfg, links: links})
		}
	}
	dhcpCfg, waiting := f.dhcp()
	s.mu.Lock()
	s.waiting = waiting
	s.mu.Unlock()
	add("dhcp", dhcpCfg, linksOf(dhcpCfg.Subnets, func(n dhcp.Subnet) string { return n.Iface }))
	if f.doc.DNS.Serve {
		cfg := f.dns()
		add("dns", cfg, linksOf(cfg.Places, func(p dns.Place) string { return p.Iface }))
	}
	all = append(all, &unit{name: "clock", cfg: clockConfig{f.doc.NTP.SourcesOr(), withPort(f.servers(), 53)}})
	if f.doc.NTP.Serve {
		places := f.ntpPlaces()
		add("ntp", places, linksOf(places, func(p ntp.Place) string { return p.Iface }))
	}
	adverts := f.adverts()
	add("ra", adverts, linksOf(adverts, func(l ra.Link) string { return l.Iface }))
	if !f.doc.LLDP.Disabled {
		cfg := f.lldp()
		add("lldp", cfg, linksOf(cfg.Ports, func(p lldp.Port) string { return p.Iface }))
	}
	if !f.doc.MDNS.Disabled {
		cfg := f.mdns()
		add("mdns", cfg, linksOf(cfg.Links, func(l mdns.Link) string { return l.Iface }))
	}
	return all
}

func linksOf[T any](list []T, link func(T) string) (names []string) {
	for _, v := range list {
		if n := link(v); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// clockConfig is where the time comes from, and who knows the addresses of that.
type clockConfig struct {
	sources []string
	servers []netip.AddrPort
}

func (c clockConfig) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	return dns.Lookup(ctx, c.servers, name)
}

// maker makes the runner of a unit's settings.
func (s *Services) maker(u *unit) (runner, error) {
	log := s.cfg.Log.With("service", u.name)
	switch cfg := u.cfg.(type) {
	case dhcp.Config:
		table, err := s.openTable()
		if err != nil {
			return nil, err
		}
		return dhcp.New(cfg, table, log), nil
	case dns.Config:
		return dns.New(cfg, names{s}, log), nil
	case clockConfig:
		var clock ntp.Clock
		if (ntp.Kernel{}).MayChange() {
			clock = ntp.Kernel{}
		}
		c := ntp.NewClient(cfg.sources, cfg.lookup, clock, log)
		s.client.Store(c)
		return c, nil
	case []ntp.Place:
		return ntp.NewServer(cfg, s.clock, log), nil
	case []ra.Link:
		return ra.New(cfg, log), nil
	case lldp.Config:
		return lldp.New(cfg, log), nil
	case mdns.Config:
		return mdns.New(cfg, log), nil
	}
	return nil, errors.New("a service of no kind")
}

func (s *Services) start(ctx context.Context, u *unit) {
	run, err := s.maker(u)
	if err != nil {
		s.cfg.Log.Error(msgNoTable, "err", err)
		time.AfterFunc(retryAfter, s.poke) // it writes to a channel that lives as long as we
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	u.run, u.cancel, u.ended, u.since = run, cancel, make(chan struct{}), time.Now().UTC()
	go u.keep(ctx, s.cfg.Log)
	s.mu.Lock()
	s.units[u.name] = u
	s.mu.Unlock()
	s.cfg.Log.Info(msgStarted, "service", u.name, "links", u.links)
}

// keep runs a service until it is stopped. One that ends by itself begins again.
func (u *unit) keep(ctx context.Context, log *slog.Logger) {
	defer close(u.ended)
	for {
		err := u.run.Run(ctx)
		if ctx.Err() != nil {
			return
		}
		text := "it ended by itself"
		if err != nil {
			text = err.Error()
		}
		u.fault.Store(&text)
		log.Error(msgEnded, "service", u.name, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryAfter):
			u.fault.Store(nil)
		}
	}
}

func (s *Services) stop(u *unit) {
	u.cancel()
	<-u.ended
	s.mu.Lock()
	delete(s.units, u.name)
	s.mu.Unlock()
}

func (s *Services) stopAll() {
	s.mu.Lock()
	all := make([]*unit, 0, len(s.units))
	for _, u := range s.units {
		all = append(all, u)
	}
	s.mu.Unlock()
	for _, u := range all {
		u.cancel() // all at once, then each is waited for
	}
	for _, u := range all {
		s.stop(u)
	}
}

// openTable reads the leases once, when addresses are given for the first time.
func (s *Services) openTable() (*dhcp.Table, error) {
	if t := s.table.Load(); t != nil {
		return t, nil
	}
	t, err := dhcp.OpenTable(filepath.Join(s.cfg.Dir, "leases"))
	if err != nil {
		return nil, err
	}
	s.table.Store(t)
	return t, nil
}

func (s *Services) closeTable() {
	if t := s.table.Swap(nil); t != nil {
		if err := t.Close(); err != nil {
			s.cfg.Log.Error(msgNoTable, "err", err)
		}
	}
}

// names are those of the hosts that have leases now.
type names struct{ *Services }

func (n names) Named(name string) (netip.Addr, bool) {
	if t := n.table.Load(); t != nil {
		return t.Named(name)
	}
	return netip.Addr{}, false
}

func (n names) NameOf(a netip.Addr) (string, bool) {
	if t := n.table.Load(); t != nil {
		return t.NameOf(a)
	}
	return "", false
}

// clock is how the box's clock is.
func (s *Services) clock() ntp.State {
	if c := s.client.Load(); c != nil {
		return c.State()
	}
	return ntp.State{Leap: 3} // RFC 5905 §7.3: not synchronised
}
