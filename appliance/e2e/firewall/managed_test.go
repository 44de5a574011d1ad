package firewall

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/phone"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

// managed is a box whose netd owns the network, with limits per source in its switchd.
type managed struct {
	sw              ctl.Switch
	netd            ctl.Net
	outside, phones *netlab.Host
}

func manage(t *testing.T) *managed {
	t.Helper()
	lab := netlab.New(t)
	m := &managed{outside: lab.Host(t, "outside"), phones: lab.Host(t, "phones")}
	dir := filepath.Join(lab.Dir, "run")
	bin := os.Getenv(boxtest.BinKey)
	for _, args := range [][]string{
		{"switchd", "-run", dir, "-data", filepath.Join(lab.Dir, "switch"), "-domain", boxtest.Domain},
		{"netd", "-manage", "-run", dir, "-data", filepath.Join(lab.Dir, "net")},
	} {
		program := lab.Box.Run(t, lab.Box.Command(filepath.Join(bin, args[0]), args[1:]...))
		t.Cleanup(program.Kill)
	}
	m.sw, m.netd = ctl.NewSwitch(filepath.Join(dir, "switch.sock")), ctl.NewNet(filepath.Join(dir, "net.sock"))
	t.Cleanup(func() { _ = m.sw.Close(); _ = m.netd.Close() }) // idle connections only
	until(t, "both daemons answer", func() bool {
		_, swErr := m.sw.Status(t.Context())
		doc, netErr := m.netd.Document(t.Context())
		return swErr == nil && netErr == nil && doc.Number > 0 // the network of the first boot is there
	})
	return m
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for late := time.Now().Add(netlab.Patience); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("not yet: %s", what)
		}
	}
}

const managedDocument = `{
  "ports": [{"name": "to1"}, {"name": "to2"}],
  "interfaces": [
    {"link": "to1", "zone": "internet", "addresses": ["198.18.1.1/24"]},
    {"link": "to2", "zone": "phones", "addresses": ["198.18.2.1/24"]}
  ],
  "zones": [{"name": "internet", "kind": "uplink"}, {"name": "phones", "kind": "voice"}]
}`

// set makes the document of this test the confirmed one.
func (m *managed) set(t *testing.T) {
	t.Helper()
	now, err := m.netd.Document(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.netd.Apply(t.Context(), ctl.NetProposal{Document: json.RawMessage(managedDocument), Revision: now.Number, Who: "test"}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.netd.Confirm(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
}

func (m *managed) firewall(t *testing.T) ctl.Firewall {
	t.Helper()
	f, err := m.netd.Firewall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestAGuesserIsDroppedByTheKernel: from the guess to the drop, through both daemons.
func TestAGuesserIsDroppedByTheKernel(t *testing.T) {
	m := manage(t)
	m.set(t)
	until(t, "SIP is open", func() bool {
		return slices.ContainsFunc(m.firewall(t).Rules, func(r ctl.FirewallRule) bool { return r.Name == "box.phones.sip" })
	})
	if _, err := m.sw.AddUser(t.Context(), ctl.NewUser{UserSpec: ctl.UserSpec{Name: "alice"}, Secret: ctl.Secret{Password: boxtest.Password("alice")}}); err != nil {
		t.Fatal(err)
	}
	phone.Register(t, m.phones, "alice", boxtest.Password("alice"), boxtest.Server(m.phones, "udp"))
	until(t, "the phone is known", func() bool { return m.firewall(t).Known == 1 })
	guesser, err := m.outside.Dial("udp4", boxtest.Server(m.outside, "udp").String())
	if err != nil {
		t.Fatal(err)
	}
	defer guesser.Close()
	guesses := 0
	until(t, "the guesser is banned", func() bool {
		if guesses < 40 {
			guess(guesser, guesses)
			guesses++
		}
		return slices.ContainsFunc(m.firewall(t).Banned, func(b ctl.Ban) bool { return b.Source.Addr() == m.outside.V4 })
	})
	before := m.dropped(t)
	if got := guess(guesser, 1000); got != "" {
		t.Errorf("who is banned is answered: %s", got)
	}
	if m.dropped(t) == before {
		t.Error("what a banned source sends does not end in the kernel")
	}
	phone.Register(t, m.phones, "alice", boxtest.Password("alice"), boxtest.Server(m.phones, "udp"))
	if err := m.sw.LiftBan(t.Context(), m.outside.V4.String()); err != nil {
		t.Fatal(err)
	}
	until(t, "whose ban is lifted is answered", func() bool { guesses++; return guess(guesser, 1000+guesses) != "" })
}

func (m *managed) dropped(t *testing.T) (n uint64) {
	t.Helper()
	for _, r := range m.firewall(t).Rules {
		if strings.HasPrefix(r.Name, "sip.banned") {
			n += r.Packets
		}
	}
	return n
}

// guess tries a wrong password, after the challenge if there is one, and returns the last answer.
func guess(c net.Conn, n int) (answer string) {
	from := netip.MustParseAddrPort(c.LocalAddr().String())
	target := "sip:" + boxtest.Domain
	for try, authorization := 0, ""; try < 2; try++ {
		text := fmt.Sprintf("REGISTER %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%d-%d;rport\r\nMax-Forwards: 70\r\nFrom: <sip:alice@%s>;tag=g\r\nTo: <sip:alice@%s>\r\n"+
			"Call-ID: guess-%d\r\nCSeq: %d REGISTER\r\nContact: <sip:alice@%s>\r\n%sContent-Length: 0\r\n\r\n",
			target, from, n, try, boxtest.Domain, boxtest.Domain, n, try+1, from, strings.ReplaceAll(authorization, "\n", "\r\n"))
		if _, err := c.Write([]byte(text)); err != nil {
			return ""
		}
		_ = c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		buf := make([]byte, 4096)
		got, err := c.Read(buf)
		if err != nil {
			return ""
		}
		answer = string(buf[:got])
		authorization = sipside.Authorization(answer, "alice", "guess"+fmt.Sprint(n), "REGISTER", target)
	}
	return answer
}
