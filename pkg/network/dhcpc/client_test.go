package dhcpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func TestMain(m *testing.M) {
	if code, entered := netlab.Enter(); entered {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

// server answers as it is told.
type server struct {
	mu     sync.Mutex
	asked  []string
	silent bool
	nak    bool
	odd    func(*dhcpv4.DHCPv4) // changes the answer
}

func (s *server) answer(kind string, renewed *nclient4.Lease) (*nclient4.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, kind)
	switch {
	case s.silent:
		return nil, errors.New("no answer")
	case s.nak && renewed != nil:
		return nil, &nclient4.ErrNak{Offer: renewed.Offer, Nak: renewed.ACK}
	}
	ack, err := dhcpv4.New(
		dhcpv4.WithMessageType(dhcpv4.MessageTypeAck), dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 50)), dhcpv4.WithLeaseTime(3600),
		dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(net.IPv4(192, 0, 2, 1)), dhcpv4.WithDNS(net.IPv4(192, 0, 2, 53)),
		dhcpv4.WithServerIP(net.IPv4(192, 0, 2, 1)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 1))),
	)
	if s.odd != nil {
		s.odd(ack)
	}
	return &nclient4.Lease{Offer: ack, ACK: ack, CreationTime: time.Now()}, err
}

func (s *server) Request(context.Context, ...dhcpv4.Modifier) (*nclient4.Lease, error) {
	return s.answer("request", nil)
}

func (s *server) Renew(_ context.Context, l *nclient4.Lease, _ ...dhcpv4.Modifier) (*nclient4.Lease, error) {
	return s.answer("renew", l)
}

func (s *server) Close() error { return nil }

func (s *server) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *server) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

func wanting() netcfg.Document {
	return netcfg.Document{Interfaces: []netcfg.Interface{{Link: "eth0", DHCP4: &netcfg.DHCPClient{}}, {Link: "eth1"}}}
}

// begin runs clients against a server that is not on any network.
func begin(t *testing.T, dir string, s *server) (c *Clients, stop func()) {
	t.Helper()
	c, err := New(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c.dial = func(string) (asker, error) { return s, nil }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	return c, sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func (c *Clients) has(t *testing.T, want string) {
	t.Helper()
	synctest.Wait()
	leases, _ := c.Leases()
	if got := leases["eth0"].Address; want == "" && got.IsValid() || want != "" && got.String() != want {
		t.Errorf("the lease is %v, want %q", got, want)
	}
}

func TestALeaseIsRenewedInTimeAndOutlivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		c, stop := begin(t, dir, s)
		defer stop()
		c.Want(wanting())
		c.has(t, "192.0.2.50/24")
		if l, _ := c.Leases(); l["eth0"].Router.String() != "192.0.2.1" || len(l["eth0"].DNS) != 1 || l["eth0"].Server.String() != "192.0.2.1" || len(l) != 1 {
			t.Errorf("leases %+v", l)
		}
		time.Sleep(29 * time.Minute)
		synctest.Wait()
		if asked := s.heard(); !slices.Equal(asked, []string{"request"}) {
			t.Errorf("asked %v", asked)
		}
		time.Sleep(2 * time.Minute) // half of the time is over
		synctest.Wait()
		if asked := s.heard(); !slices.Equal(asked, []string{"renew"}) {
			t.Errorf("asked %v", asked)
		}
		stop()
		s.set(func() { s.silent = true })
		c, stop = begin(t, dir, s)
		defer stop()
		c.Want(wanting())
		if l, _ := c.Leases(); l["eth0"].Address.String() != "192.0.2.50/24" {
			t.Errorf("right after the restart the lease is %+v", l)
		}
		time.Sleep(58 * time.Minute)
		c.has(t, "192.0.2.50/24")
		time.Sleep(4 * time.Minute) // it was an hour, and nobody renewed it
		c.has(t, "")
		s.set(func() { s.silent = false })
		time.Sleep(3 * time.Minute)
		c.has(t, "192.0.2.50/24")
		c.Want(netcfg.Document{})
		c.has(t, "")
	})
}

func TestARefusedLeaseIsGivenUpAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		c, stop := begin(t, t.TempDir(), s)
		defer stop()
		c.Want(wanting())
		c.has(t, "192.0.2.50/24")
		s.set(func() { s.nak, s.asked = true, nil })
		_, changed := c.Leases()
		time.Sleep(31 * time.Minute)
		synctest.Wait()
		<-changed
		if asked := s.heard(); !slices.Equal(asked, []string{"renew", "request"}) {
			t.Errorf("asked %v", asked)
		}
		c.has(t, "192.0.2.50/24") // a new one
	})
}

func TestWhatIsNoLeaseIsRefused(t *testing.T) {
	t.Parallel()
	for name, odd := range map[string]func(*dhcpv4.DHCPv4){
		"no mask":   func(m *dhcpv4.DHCPv4) { m.Options.Del(dhcpv4.OptionSubnetMask) },
		"no time":   func(m *dhcpv4.DHCPv4) { m.Options.Del(dhcpv4.OptionIPAddressLeaseTime) },
		"nobody":    func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IPv4zero },
		"multicast": func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IPv4(224, 0, 0, 1) },
		"ourselves": func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IPv4(127, 0, 0, 1) },
	} {
		held, err := (&server{odd: odd}).answer("", nil)
		if err != nil {
			t.Fatal(err)
		}
		if l, err := read(held); err == nil {
			t.Errorf("%s: %+v", name, l)
		}
		if !expired(held) {
			t.Errorf("%s: it lasts", name)
		}
	}
}

func TestADamagedLeaseIsForgotten(t *testing.T) {
	t.Parallel()
	c, err := New(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "{", `{"offer":"AA=="}`, `{"offer":"","ack":"","at":"2000-01-01T00:00:00Z"}`} {
		if err := os.WriteFile(filepath.Join(c.dir, "eth0.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if held := c.load("eth0"); held != nil {
			t.Errorf("%q: %+v", text, held)
		}
	}
}

// FuzzDecode: what a file or a server says may be anything; what is taken is an address for a host.
func FuzzDecode(f *testing.F) {
	held, err := (&server{}).answer("", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(held.ACK.ToBytes())
	f.Add([]byte{2, 1, 6, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		ack, err := dhcpv4.FromBytes(data)
		if err != nil {
			return
		}
		l, err := read(&nclient4.Lease{Offer: ack, ACK: ack, CreationTime: time.Unix(0, 0)})
		if err == nil && (!l.Address.IsValid() || l.Address.Bits() == 0 || l.Address.Addr().IsUnspecified() || !l.Until.After(l.Since)) {
			t.Fatalf("taken: %+v", l)
		}
	})
}
