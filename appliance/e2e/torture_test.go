package e2e

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
	"github.com/coraltele/sanchar/pkg/testkit/torture"
)

// Bounds of what odd messages may cost.
const (
	tortureRounds = 20
	tortureMemory = 8 << 20 // bytes that switchd may grow by over all rounds
)

// stranger is a peer that sends what it likes and reads what comes back.
type stranger struct {
	t    *testing.T
	conn net.Conn
}

// silence is how long a stream is listened to that is to say nothing.
const silence = 50 * time.Millisecond

// ask sends a message and returns what is answered to it. Over UDP an OPTIONS follows, whose answer
// ends the wait; over a stream it could be taken for the message's body.
func (s *stranger) ask(c torture.Case) (answers []string) {
	s.t.Helper()
	if s.conn.LocalAddr().Network() == "udp" {
		return s.send(c.Text, netlab.Patience, "ping-"+s.conn.LocalAddr().String())
	}
	if wanted(c) == nil {
		return s.send(c.Text, silence, "")
	}
	return s.send(c.Text, netlab.Patience, "")
}

// send writes a message, and after it OPTIONS of Call-ID ping if that is not empty, and returns the
// answers until that to OPTIONS, or else the first.
func (s *stranger) send(text []byte, patience time.Duration, ping string) (answers []string) {
	s.t.Helper()
	if _, err := s.conn.Write(text); err != nil {
		s.t.Fatal(err)
	}
	if ping != "" {
		if _, err := s.conn.Write([]byte(options(s.conn, ping))); err != nil {
			s.t.Fatal(err)
		}
	}
	_ = s.conn.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 65536)
	for {
		n, err := s.conn.Read(buf)
		if err != nil {
			return answers
		}
		answer := string(buf[:n])
		switch {
		case ping == "":
			return []string{answer}
		case sipside.Header(answer, "Call-ID") != ping:
			answers = append(answers, answer)
		case sipside.Status(answer) != 200:
			s.t.Errorf("OPTIONS was answered: %s", answer)
			return answers
		default:
			return answers
		}
	}
}

func options(c net.Conn, id string) string {
	return fmt.Sprintf("OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK%s;rport\r\nFrom: <sip:x@%s>;tag=1\r\nTo: <sip:%s>\r\nCall-ID: %s\r\n"+
		"CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
		boxtest.Domain, strings.ToUpper(c.LocalAddr().Network()), c.LocalAddr(), id, boxtest.Domain, boxtest.Domain, id)
}

// wanted returns the answers that a message may get; nil is none.
func wanted(c torture.Case) []int {
	switch {
	case c.Want == torture.Silence || (c.Want == 0 && bytes.HasPrefix(c.Text, []byte("SIP/2.0"))):
		return nil
	case c.Want == 0:
		return []int{401, 407, 481} // in order, but who is it?
	}
	return []int{c.Want}
}

// judge compares what was answered to a message with what its RFC wants.
func judge(t *testing.T, transport string, c torture.Case, got []string) {
	t.Helper()
	want := wanted(c)
	answer := strings.Join(got, "\n")
	code := sipside.Status(answer)
	if want == nil && code != 0 || want != nil && !slices.Contains(want, code) {
		t.Errorf("%s over %s: answered %d, want %v (%s)\n%s", c.Name, transport, code, want, c.Why, answer)
	}
	if (code == 501 || code == 405) && sipside.Header(answer, "Allow") == "" {
		t.Errorf("%s over %s: no Allow: %s", c.Name, transport, answer)
	}
	if code == 420 && sipside.Header(answer, "Unsupported") == "" {
		t.Errorf("%s over %s: no Unsupported: %s", c.Name, transport, answer)
	}
	if len(got) > 1 && code != 0 {
		t.Errorf("%s over %s: answered %d times: %s", c.Name, transport, len(got), answer)
	}
}

// The messages of RFC 4475 and RFC 5118 are answered by the running box as their RFCs want, again
// and again, and cost it neither its life nor its memory.
func TestTortureMessages(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	h := lab.Host(t, "stranger")
	b := boxtest.Start(t, lab, boxtest.Config{Users: []string{"alice"}})
	pid, cases := b.PID("switchd"), torture.Load(t)
	round := func(judge func(*testing.T, string, torture.Case, []string)) {
		for _, transport := range []string{"udp", "tcp"} {
			for _, c := range cases {
				if transport == "tcp" && (c.Name == "clerr" || c.Name == "baddn") {
					continue // a stream waits for the rest
				}
				conn, err := h.Dial(transport, boxtest.Server(h, transport).String())
				if err != nil {
					t.Fatal(err)
				}
				judge(t, transport, c, (&stranger{t: t, conn: conn}).ask(c))
				_ = conn.Close() // its end is the box's business too
			}
		}
	}
	alive := func() {
		for _, transport := range []string{"udp", "tcp"} {
			conn, err := h.Dial(transport, boxtest.Server(h, transport).String())
			if err != nil {
				t.Fatal(err)
			}
			s := &stranger{t: t, conn: conn}
			if got := s.send([]byte(options(conn, "alive")), netlab.Patience, ""); len(got) != 1 || sipside.Status(got[0]) != 200 {
				t.Errorf("OPTIONS over %s was answered %q", transport, got)
			}
			_ = conn.Close() // asked and answered
		}
	}
	round(judge)
	alive()
	before := b.Memory("switchd")
	for range tortureRounds {
		round(func(*testing.T, string, torture.Case, []string) {})
	}
	alive()
	if after := b.Memory("switchd"); after > before+tortureMemory {
		t.Errorf("switchd grew from %d to %d bytes", before, after)
	} else {
		t.Logf("switchd has %d kB, had %d kB after the first round", after>>10, before>>10)
	}
	if now := b.PID("switchd"); now != pid {
		t.Errorf("switchd died: its process was %d and is %d", pid, now)
	}
}
