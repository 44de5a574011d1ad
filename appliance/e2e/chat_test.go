package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/linphone"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/texter"
)

// namaste is what phones write to each other here: letters of more than one byte, and of more than
// two of UTF-16.
const namaste = "नमस्ते, कैसे हो? 👋🏽"

// becomes waits until a phone shows the next message that it sent in a state, after a place in its log.
func becomes(p *linphone.Phone, from int, state string) {
	p.AwaitLog(from, `Chat message .* moving from \w+ to `+state+`\n`)
}

// device registers a scripted device of a user, on his wire.
func (s *scene) device(user, transport string) *texter.Device {
	s.t.Helper()
	h := s.hosts[user]
	d := texter.Open(s.t, texter.Config{
		User: user, Password: boxtest.Password(user), Domain: boxtest.Domain, Transport: transport, Instance: "urn:uuid:00000000-0000-4000-8000-00000000000" + transport[:1],
		Dial: func() (net.Conn, error) {
			return h.DialContext(s.t.Context(), transport, boxtest.Server(h, transport).String())
		},
	})
	if err := d.Register(netlab.Patience); err != nil {
		s.t.Fatal(err)
	}
	return d
}

// Texts both ways over each transport: the sender's phone shows that the box has it, then that the
// other phone has it.
func TestMessagesBothWays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ alice, bob string }{{"udp", "tcp"}, {"tls", "udp"}} {
		t.Run(c.alice+" and "+c.bob, func(t *testing.T) {
			t.Parallel()
			s := open(t, "alice", "bob")
			alice, bob := s.phone("alice", c.alice), s.phone("bob", c.bob)
			for _, way := range []struct{ from, to *linphone.Phone }{{alice, bob}, {bob, alice}} {
				from, mark := len(way.from.Log()), way.to.Mark()
				way.from.Write(way.to.AoR(), namaste)
				if by := way.to.Reads(mark, namaste); !strings.Contains(by, way.from.AoR()) {
					t.Errorf("%s reads that %s wrote", way.to.User, by)
				}
				becomes(way.from, from, "Delivered")
				becomes(way.from, from, "DeliveredToUser")
				if n := way.to.Shown(mark, namaste); n != 1 {
					t.Errorf("%s was shown the message %d times", way.to.User, n)
				}
			}
		})
	}
}

// Wrapped in CPIM, as the app writes within its domain: receipts name the Message-ID then.
func TestWrappedMessages(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	cpim := func(c *linphone.Config) { c.CPIM = true }
	alice, bob := s.phone("alice", "tcp", cpim), s.phone("bob", "tls", cpim)
	from := len(alice.Log())
	alice.Write(bob.AoR(), namaste)
	bob.Reads(0, namaste)
	alice.AwaitLog(from, `Content-Type: message/cpim(?s:.*)imdn.Message-ID: (\S+)`)
	becomes(alice, from, "Delivered")
	becomes(alice, from, "DeliveredToUser")
}

// latest is how long after its registration a phone may wait for what was written meanwhile.
const latest = 10 * time.Second

// A phone that is off: for the sender the message is delivered, to the box. It comes with the next
// registration, in order, also when the box was started again meanwhile.
func TestMessagesWaitForAPhone(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	alice, bob := s.phone("alice", "udp"), s.phone("bob", "tcp")
	bob.Quit()
	for _, text := range []string{"first", namaste} {
		from := len(alice.Log())
		alice.Write(bob.AoR(), text)
		becomes(alice, from, "Delivered")
	}
	s.waits(2)
	s.box.Restart()
	s.waits(2)
	from := len(alice.Log())
	bob = s.phone("bob", "tcp")
	bob.ReadsWithin(0, "first", latest)
	bob.ReadsWithin(0, namaste, latest)
	becomes(alice, from, "DeliveredToUser")
	s.waits(0)
}

// waits wants that the box keeps so many messages that nobody has, soon.
func (s *scene) waits(n int) {
	s.t.Helper()
	var got int
	for until := time.Now().Add(netlab.Patience); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		st, err := s.box.Switch().Status(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		if got = st.Messages; got == n {
			return
		}
	}
	s.t.Errorf("%d messages wait, not %d", got, n)
}

// Two phones of one user: both show the message, both say so, and what one of them writes goes to the
// other as well.
func TestMessagesToTwoPhonesOfOneUser(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob", "desk")
	alice, bob := s.phone("alice", "tcp"), s.phone("bob", "tcp")
	desk := linphone.Start(t, s.hosts["desk"], s.settings("desk", "udp", func(c *linphone.Config) {
		c.User, c.Password = "bob", boxtest.Password("bob")
	}))
	alice.Write(bob.AoR(), namaste)
	bob.Reads(0, namaste)
	desk.Reads(0, namaste)
	const receipt = "Content-Type: message/imdn\\+xml(?s:.*)"
	alice.AwaitLog(0, receipt+receipt) // of each a receipt
	bob.Write(alice.AoR(), "from one of two")
	alice.Reads(0, "from one of two")
	if by := desk.Reads(0, "from one of two"); by != bob.AoR() {
		t.Errorf("the other phone shows that %s wrote", by)
	}
	s.waits(0)
	if n := alice.Shown(0, "from one of two"); n != 1 {
		t.Errorf("alice was shown the message %d times", n)
	}
}

// What Linphone's app says and linphonec does not: that somebody writes, and that a message was read.
const (
	writing   = `<?xml version="1.0" encoding="UTF-8" standalone="no" ?><isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"><state>active</state><refresh>60</refresh></isComposing>`
	displayed = `<?xml version="1.0" encoding="UTF-8" standalone="no" ?><imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>%s</message-id><datetime>2026-11-23T10:45:50Z</datetime><display-notification><status><displayed/></status></display-notification></imdn>`
)

func TestComposingAndDisplayed(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	alice, bob := s.phone("alice", "tcp"), s.device("bob", "udp")
	composing := texter.Mail{To: "alice", Type: "application/im-iscomposing+xml", Head: "Priority: non-urgent\r\nExpires: 0\r\n", Body: writing}
	if code, _, err := bob.Send(composing, netlab.Patience); code != 200 || err != nil { // as alice's phone answers
		t.Errorf("composing was answered %d, %v", code, err)
	}
	alice.AwaitLog(0, `application/im-iscomposing\+xml(?s:.*)<state>active</state>`)
	from := len(alice.Log())
	alice.Write("sip:bob@"+boxtest.Domain, namaste)
	got, _ := bob.Await(0, namaste, netlab.Patience)
	becomes(alice, from, "Delivered")
	read := texter.Mail{To: "alice", Type: "message/imdn+xml", Head: "Priority: non-urgent\r\n", Body: fmt.Sprintf(displayed, got.CallID)}
	if code, _, err := bob.Send(read, netlab.Patience); code != 202 || err != nil {
		t.Errorf("a receipt was answered %d, %v", code, err)
	}
	becomes(alice, from, "Displayed")
	alice.Quit()
	if code, _, err := bob.Send(composing, netlab.Patience); code != 480 || err != nil {
		t.Errorf("composing for nobody was answered %d, %v", code, err)
	}
	s.waits(0)
	if code, _, err := bob.Send(texter.Mail{To: "nobody", Body: "x"}, netlab.Patience); code != 404 || err != nil {
		t.Errorf("a message to nobody was answered %d, %v", code, err)
	}
}

// A message of 20 KB goes through over UDP and TCP, as it was written.
func TestLongMessages(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	alice, udp := s.device("alice", "tcp"), s.device("bob", "udp")
	tcp := s.device("bob", "tcp")
	long := strings.Repeat(namaste, 20_000/len(namaste))
	if code, _, err := alice.Send(texter.Mail{To: "bob", Body: long}, netlab.Patience); code != 202 || err != nil {
		t.Fatalf("a long message was answered %d, %v", code, err)
	}
	udp.Await(0, long, netlab.Patience)
	tcp.Await(0, long, netlab.Patience)
}
