package firewall

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/network/filter"
	"github.com/coraltele/sanchar/pkg/network/guard"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/nft"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/phone"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

// document: phones on one wire, the Internet on another.
const document = `{
  "interfaces": [
    {"link": "to1", "zone": "internet", "addresses": ["198.18.1.1/24"]},
    {"link": "to2", "zone": "phones", "addresses": ["198.18.2.1/24"]},
    {"link": "to3", "zone": "phones", "addresses": ["198.18.3.1/24"]}
  ],
  "zones": [{"name": "internet", "kind": "uplink"}, {"name": "phones", "kind": "voice"}]
}`

// What is asked of a box under a flood.
const (
	floodRate = 50_000
	floodTime = 8 * time.Second
	callEvery = 100 * time.Millisecond
	patience  = 2 * time.Second // for an answer, without sending again
	answered  = 0.999
	moreBytes = 100 << 20
	setSize   = 65_536 // elements of the largest set
)

// protected is a box behind its packet filter, with the sets fed from its switchd.
type protected struct {
	box      *boxtest.Box
	attacker *netlab.Host
	phones   *netlab.Host // that ask
	callers  *netlab.Host // whose phones call each other: an address has its own bound
	kernel   *nft.Kernel
	guard    *guard.Guard
}

func protect(t *testing.T) *protected {
	t.Helper()
	lab := netlab.New(t)
	p := &protected{attacker: lab.Host(t, "attacker"), phones: lab.Host(t, "phones"), callers: lab.Host(t, "callers")}
	p.box = boxtest.Start(t, lab, boxtest.Config{Users: []string{"alice", "bob", "carol"}})
	ns := -1
	err := lab.Box.Do(func() (err error) {
		// Answers to the sources that the flood names go back to where it comes from.
		link, err := netlink.LinkByName("to1")
		if err == nil {
			err = netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: p.attacker.V4.AsSlice(), Dst: &net.IPNet{IP: net.IP{100, 64, 0, 0}, Mask: net.CIDRMask(10, 32)}})
		}
		if err == nil {
			ns, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(ns) })
	p.kernel = nft.New(ns)
	p.start(t)
	return p
}

func (p *protected) start(t *testing.T) {
	t.Helper()
	var doc netcfg.Document
	if err := json.Unmarshal([]byte(document), &doc); err != nil {
		t.Fatal(err)
	}
	var err error
	p.guard, err = guard.New(guard.Config{
		Kernel: p.kernel, Switch: p.box.Switch(), Media: p.box.Media(), Admin: ctl.NewAdmin(filepath.Join(t.TempDir(), "none")),
		Links: func() ([]ctl.Link, <-chan struct{}) { return nil, nil }, StateDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.guard.Apply(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.guard.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	// Until the guard has asked what listens, nothing is open.
	p.await(t, "SIP is open", func(f ctl.Firewall) bool {
		return slices.ContainsFunc(f.Rules, func(r ctl.FirewallRule) bool { return r.Name == "box.phones.sip" })
	})
}

func (p *protected) await(t *testing.T, what string, is func(ctl.Firewall) bool) {
	t.Helper()
	for until := time.Now().Add(netlab.Patience); ; time.Sleep(20 * time.Millisecond) {
		f, err := p.guard.Status()
		if err == nil && is(f) {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("not yet: %s (%+v, %v)", what, f, err)
		}
	}
}

func TestRegisteredPhonesAreServedUnderAFlood(t *testing.T) {
	p := protect(t)
	server := boxtest.Server(p.phones, "udp")
	alice := phone.Register(t, p.callers, "alice", boxtest.Password("alice"), boxtest.Server(p.callers, "udp"))
	bob := phone.Register(t, p.callers, "bob", boxtest.Password("bob"), boxtest.Server(p.callers, "udp"))
	phone.Register(t, p.phones, "carol", boxtest.Password("carol"), server)
	for until := time.Now().Add(netlab.Patience); len(p.elements(t, filter.Known4)) != 2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the kernel is not told of the phones")
		}
	}
	for _, sources := range []int{1, 5000, 200_000} {
		t.Run(fmt.Sprint("sources=", sources), func(t *testing.T) {
			before := p.box.Memory("switchd")
			f := flood(t, p.attacker, netip.AddrPortFrom(p.attacker.Box4, boxtest.SIP), sources, floodRate)
			calls, asked := p.use(t, alice, bob, server)
			f.stop()
			more := p.box.Memory("switchd") - before
			t.Logf("%d INVITE/s from %d sources; %s; calls %d of %d; switchd %+d kB; strangers listed %d",
				f.rate(), sources, asked, calls.ok, calls.all, more>>10, len(p.elements(t, "strangers4")))
			if share := asked.share(); share < answered {
				t.Errorf("%.4f of the requests were answered, want %.3f", share, answered)
			}
			if calls.ok != calls.all {
				t.Errorf("%d of %d calls failed", calls.all-calls.ok, calls.all)
			}
			if more > moreBytes {
				t.Errorf("switchd has %d MB more", more>>20)
			}
			if n := len(p.elements(t, "strangers4")); n > setSize {
				t.Errorf("the set of strangers holds %d", n)
			}
			p.await(t, "the flood is counted as dropped", func(st ctl.Firewall) bool { return droppedOf(st) > uint64(f.sent)*9/10 })
		})
	}
}

func (p *protected) elements(t *testing.T, name string) []nft.Element {
	t.Helper()
	for _, s := range filter.Sets() {
		if s.Name == name {
			all, err := p.kernel.Elements(s)
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
	}
	t.Fatalf("there is no set %s", name)
	return nil
}

// droppedOf is how many SIP packets of strangers were dropped.
func droppedOf(f ctl.Firewall) (n uint64) {
	for _, r := range f.Rules {
		if r.Drops && strings.HasPrefix(r.Name, "sip.stranger") {
			n += r.Packets
		}
	}
	return n
}

type tries struct{ ok, all int }

// use makes calls and asks OPTIONS and REGISTER as long as the flood lasts.
func (p *protected) use(t *testing.T, alice, bob *phone.Line, server netip.AddrPort) (calls tries, asked *asking) {
	t.Helper()
	asked = &asking{}
	until := time.Now().Add(floodTime)
	var wait sync.WaitGroup
	wait.Go(func() { p.ask(t, server, until, asked) })
	for pause := time.NewTicker(callEvery); time.Now().Before(until); <-pause.C {
		calls.all++
		if err := call(alice, bob); err != nil {
			t.Log(err)
		} else {
			calls.ok++
		}
	}
	wait.Wait()
	return calls, asked
}

func call(alice, bob *phone.Line) error {
	took := make(chan error, 1)
	go func() {
		_, err := bob.Answer()
		took <- err
	}()
	c, err := alice.Invite(boxtest.Number(1))
	if err == nil {
		if status := c.HangUp(); status != 200 {
			err = fmt.Errorf("BYE was answered %d", status)
		}
	}
	if tookErr := <-took; err == nil {
		err = tookErr
	}
	return err
}

// asking counts requests of a registered phone's address and how soon each was answered; none is sent twice.
type asking struct {
	sent  int
	times []time.Duration
}

func (a *asking) share() float64 { return float64(len(a.times)) / float64(max(a.sent, 1)) }

func (a *asking) String() string {
	slices.Sort(a.times)
	if len(a.times) == 0 {
		return "no answer"
	}
	at := func(q float64) time.Duration {
		return a.times[min(int(q*float64(len(a.times))), len(a.times)-1)].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("%d of %d requests answered, p50 %s p99 %s max %s", len(a.times), a.sent, at(0.5), at(0.99), a.times[len(a.times)-1].Round(10*time.Microsecond))
}

// askEvery is the pause between two requests: with the calls, below what the address may send.
const askEvery = 5 * time.Millisecond

// ask sends OPTIONS, REGISTER and INVITE in turn; an answer to each is what counts: to a request
// without credentials that is the challenge.
func (p *protected) ask(t *testing.T, server netip.AddrPort, until time.Time, a *asking) {
	conn, err := p.phones.ListenUDP(netip.AddrPortFrom(p.phones.V4, 0))
	if err != nil {
		t.Error(err)
		return
	}
	var mu sync.Mutex // guards waiting and a.times
	waiting := map[string]time.Time{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 65536)
		for {
			n, _, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			mu.Lock()
			if at, ok := waiting[sipside.Header(string(buf[:n]), "Call-ID")]; ok {
				a.times = append(a.times, time.Since(at))
				delete(waiting, sipside.Header(string(buf[:n]), "Call-ID"))
			}
			mu.Unlock()
		}
	}()
	methods := []string{"OPTIONS", "REGISTER", "INVITE"}
	for tick := time.NewTicker(askEvery); time.Now().Before(until); <-tick.C {
		id := fmt.Sprintf("ask-%d", a.sent)
		mu.Lock()
		waiting[id] = time.Now()
		mu.Unlock()
		if _, err := conn.WriteToUDPAddrPort([]byte(request(methods[a.sent%len(methods)], id, conn.LocalAddr().String())), server); err != nil {
			t.Error(err)
		}
		a.sent++
	}
	for late := time.Now().Add(patience); time.Now().Before(late); time.Sleep(10 * time.Millisecond) {
		mu.Lock()
		n := len(waiting)
		mu.Unlock()
		if n == 0 {
			break
		}
	}
	_ = conn.Close()
	<-done
}

func request(method, id, from string) string {
	target := "sip:" + boxtest.Domain
	if method == "INVITE" {
		target = "sip:102@" + boxtest.Domain
	}
	return strings.Join([]string{
		method + " " + target + " SIP/2.0", "Via: SIP/2.0/UDP " + from + ";branch=z9hG4bK" + id + ";rport", "Max-Forwards: 70",
		"From: <sip:carol@" + boxtest.Domain + ">;tag=" + id, "To: <sip:carol@" + boxtest.Domain + ">", "Call-ID: " + id, "CSeq: 1 " + method,
		"Contact: <sip:carol@" + from + ">", "Content-Length: 0", "", "",
	}, "\r\n")
}
