package media

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/phone"
)

// atOnce is how many tests run at a time: what they do most is listen.
const atOnce = "5"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", atOnce); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	boxtest.Main(m, func() error { return goleak.Find() })
}

// site is a box with users, whose lines are wherever a test wants them.
type site struct {
	t   *testing.T
	lab *netlab.Lab
	box *boxtest.Box
	api *boxtest.API
}

// office is the host that the page is looked at from.
const office = "office"

func open(t *testing.T, users ...string) *site {
	t.Helper()
	return openIn(t, netlab.New(t), users...)
}

// openIn starts a box in a lab whose hosts are there already.
func openIn(t *testing.T, lab *netlab.Lab, users ...string) *site {
	t.Helper()
	desk := lab.Host(t, office)
	s := &site{t: t, lab: lab, box: boxtest.Start(t, lab, boxtest.Config{Users: users})}
	s.api = s.box.API(desk)
	return s
}

// within is the site for a test of its own that uses the same box.
func (s *site) within(t *testing.T) *site {
	other := *s
	other.t = t
	return &other
}

// line registers a user from a host.
func (s *site) line(h *netlab.Host, user string) *phone.Line {
	s.t.Helper()
	return phone.Register(s.t, h, user, boxtest.Password(user), boxtest.Server(h, "udp"))
}

// policy changes the rules of users.
func (s *site) policy(users map[string]ctl.MediaRules) {
	s.t.Helper()
	sw := s.box.Switch()
	st, err := sw.MediaPolicy(s.t.Context())
	if err == nil {
		st.Users = users
		_, err = sw.SetMediaPolicy(s.t.Context(), ctl.MediaPolicyChange{Policy: st.MediaPolicy, Was: st.Number, Who: "test"})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// connect makes a call between two lines.
func connect(t *testing.T, from, to *phone.Line) (out, in *phone.Call) {
	t.Helper()
	type answer struct {
		call *phone.Call
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		c, err := to.Answer()
		answered <- answer{c, err}
	}()
	out, err := from.Invite(to.User)
	if err != nil {
		t.Fatal(err)
	}
	a := <-answered
	if a.err != nil {
		t.Fatal(a.err)
	}
	return out, a.call
}

// record waits for the record of the only call between two users.
func (s *site) record(caller, callee string) record.Call {
	s.t.Helper()
	for n := 1; ; n++ {
		for _, r := range s.api.Calls(n) {
			if r.Caller.User == caller && r.Callee.User == callee {
				return r
			}
		}
	}
}
