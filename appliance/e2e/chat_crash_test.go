package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/texter"
)

// Of the test that kills daemons under messages: so many senders write one message after another, each
// at this pace, while a daemon is killed at random moments.
const (
	messageKills  = 200 // in some two and a half minutes
	senders       = 20
	recipients    = 4 // each with a device over UDP and one over TCP
	pace          = 100 * time.Millisecond
	shortestLife  = 200 * time.Millisecond // of a daemon before it is killed
	longestLife   = 1200 * time.Millisecond
	deliveredSoon = time.Minute
)

// mortals are daemons that are started again at once when they are killed: no supervisor's patience
// comes between two kills.
type mortals struct {
	t    *testing.T
	box  *netlab.Host
	dir  string
	stop chan struct{}
	wait sync.WaitGroup

	mu   sync.Mutex // guards what follows
	live map[string]*netlab.Program
}

func startMortals(t *testing.T, box *netlab.Host) *mortals {
	m := &mortals{t: t, box: box, dir: filepath.Join(box.Dir, "data"), stop: make(chan struct{}), live: map[string]*netlab.Program{}}
	for _, dir := range []string{"run", "switch", "admin", "media", "net"} {
		if err := os.MkdirAll(filepath.Join(m.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	run := filepath.Join(m.dir, "run")
	m.keepAlive("switchd", "-run", run, "-data", filepath.Join(m.dir, "switch"), "-domain", boxtest.Domain, "-limits", "off")
	m.keepAlive("admind", "-run", run, "-data", filepath.Join(m.dir, "admin"), "-https", fmt.Sprint(boxtest.HTTPS))
	m.keepAlive("mediad", "-run", run, "-data", filepath.Join(m.dir, "media"))
	m.keepAlive("netd", "-run", run, "-data", filepath.Join(m.dir, "net"))
	return m
}

// end stops the daemons for good. It comes before the test's clean-up, which ends programs as well.
func (m *mortals) end() {
	close(m.stop)
	for _, daemon := range []string{"switchd", "admind", "mediad", "netd"} {
		m.kill(daemon)
	}
	m.wait.Wait()
}

// keepAlive runs a daemon until the test stops.
func (m *mortals) keepAlive(daemon string, args ...string) {
	start := func() *netlab.Program {
		p := m.box.Run(m.t, m.box.Command(filepath.Join(os.Getenv(boxtest.BinKey), daemon), args...))
		p.Name = daemon
		m.mu.Lock()
		defer m.mu.Unlock()
		m.live[daemon] = p
		return p
	}
	p := start()
	m.wait.Go(func() {
		for {
			_ = p.Wait(time.Hour) // it is killed: how it ended is no news
			select {
			case <-m.stop:
				return
			default:
				p = start()
			}
		}
	})
}

func (m *mortals) kill(daemon string) {
	m.mu.Lock()
	p := m.live[daemon]
	m.mu.Unlock()
	p.Kill()
}

// addUsers waits until switchd answers and adds its users.
func (m *mortals) addUsers(names ...string) {
	m.t.Helper()
	sw := ctl.NewSwitch(filepath.Join(m.dir, "run", "switch.sock"))
	defer sw.Close()
	var csv strings.Builder
	csv.WriteString("user,password\n")
	for _, n := range names {
		fmt.Fprintf(&csv, "%s,%s\n", n, boxtest.Password(n))
	}
	for until := time.Now().Add(netlab.Patience); ; time.Sleep(20 * time.Millisecond) {
		_, err := sw.ImportUsers(m.t.Context(), strings.NewReader(csv.String()))
		if err == nil {
			return
		}
		if time.Now().After(until) {
			m.t.Fatal(err)
		}
	}
}

// device makes a device of a user on the phones' host.
func (m *mortals) device(h *netlab.Host, user, transport string) *texter.Device {
	return texter.Open(m.t, texter.Config{
		User: user, Password: boxtest.Password(user), Domain: boxtest.Domain, Transport: transport, Instance: "urn:uuid:" + user + "-" + transport,
		Dial: func() (net.Conn, error) { return h.Dial(transport, boxtest.Server(h, transport).String()) },
	})
}

// Every message for which 202 was sent comes to every device of its recipient once, and in the order
// that its sender wrote, whenever a daemon is killed.
func TestMessagesSurviveKills(t *testing.T) {
	lab := netlab.New(t)
	phones := lab.Host(t, "phones")
	m := startMortals(t, lab.Box)
	defer m.end()
	var users, to []string
	for i := range recipients {
		to = append(to, fmt.Sprint("to", i))
	}
	for i := range senders {
		users = append(users, fmt.Sprint("from", i))
	}
	m.addUsers(append(users, to...)...)
	var devices []*texter.Device
	for _, user := range to {
		for _, transport := range []string{"udp", "tcp"} {
			d := m.device(phones, user, transport)
			if err := d.Register(netlab.Patience); err != nil {
				t.Fatal(err)
			}
			devices = append(devices, d)
		}
	}
	sent := m.sendUntilKilled(phones, users, to)
	for _, d := range devices {
		checkDevice(t, d, sent)
	}
}

// sendUntilKilled lets all senders write while daemons are killed, and returns the bodies that were
// accepted, by recipient and sender, in order.
func (m *mortals) sendUntilKilled(phones *netlab.Host, users, to []string) (sent map[string]map[string][]string) {
	sent = map[string]map[string][]string{}
	for _, r := range to {
		sent[r] = map[string][]string{}
	}
	over := make(chan struct{})
	var all sync.WaitGroup
	var mu sync.Mutex // guards sent
	began := time.Now()
	for i, user := range users {
		d := m.device(phones, user, "udp")
		r := to[i%len(to)]
		all.Go(func() {
			bodies := write(m.t, d, r, over)
			mu.Lock()
			defer mu.Unlock()
			sent[r][user] = bodies
		})
	}
	victims := []string{"switchd", "admind", "switchd", "mediad", "switchd", "switchd", "admind", "switchd", "netd", "switchd"}
	for n := range messageKills {
		time.Sleep(shortestLife + rand.N(longestLife-shortestLife))
		m.kill(victims[n%len(victims)])
	}
	close(over)
	all.Wait()
	total := 0
	for _, r := range sent {
		for _, bodies := range r {
			total += len(bodies)
		}
	}
	m.t.Logf("%d messages were accepted in %s through %d kills", total, time.Since(began).Round(time.Second), messageKills)
	return sent
}

// write sends one message after another until over is closed.
func write(t *testing.T, d *texter.Device, to string, over <-chan struct{}) (bodies []string) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-over:
			return bodies
		case <-tick.C:
		}
		body := fmt.Sprintf("%s %d", d.User, n)
		code, _, err := d.Send(texter.Mail{To: to, Body: body}, netlab.Patience)
		if code != 202 || err != nil {
			t.Errorf("message %q was answered %d, %v", body, code, err)
			return bodies
		}
		bodies = append(bodies, body)
	}
}

// checkDevice waits until a device has all that was accepted for its user.
func checkDevice(t *testing.T, d *texter.Device, sent map[string]map[string][]string) {
	t.Helper()
	want := 0
	for _, bodies := range sent[d.User] {
		want += len(bodies)
	}
	var got []texter.Got
	var again int
	var strays []string
	for until := time.Now().Add(deliveredSoon); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		if got, again, strays = d.Got(); len(got) >= want {
			break
		}
	}
	came, ids := map[string][]string{}, map[string]int{}
	for _, g := range got {
		from, _, _ := strings.Cut(g.Body, " ")
		came[from] = append(came[from], g.Body)
		if ids[g.CallID]++; ids[g.CallID] == 2 {
			t.Errorf("%s (%s) got %q twice", d.User, d.Instance, g.Body)
		}
	}
	for from, bodies := range sent[d.User] {
		if got, want := strings.Join(came[from], ","), strings.Join(bodies, ","); got != want {
			t.Errorf("%s (%s) got of %s\n%s, which wrote\n%s", d.User, d.Instance, from, got, want)
		}
	}
	if len(strays) > 0 {
		t.Errorf("%s (%s) got %d requests again in another transaction, for instance\n%s", d.User, d.Instance, len(strays), strays[0])
	}
	t.Logf("%s (%s) got %d messages, and saw %d requests again", d.User, d.Instance, len(got), again)
}
