package media

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/capture"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// relayed is how many datagrams coturn's client sends through the box.
const relayed = 25

// echo returns each datagram that reaches a host to who sent it, until the test ends.
func echo(t *testing.T, h *netlab.Host) netip.AddrPort {
	t.Helper()
	c, err := h.ListenUDP(netip.AddrPortFrom(h.V4, 0))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, 65536); ; {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort(buf[:n], from) // lost, as on any wire
		}
	}()
	t.Cleanup(func() {
		_ = c.Close() // which ends the echo
		<-done
	})
	return c.LocalAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort()
}

// coturn runs coturn's client on a host: it sends to a peer through the box, and says what came back.
func coturn(h *netlab.Host, user, password string, peer netip.AddrPort) string {
	var out []byte
	_ = h.Do(func() (err error) { // it says in words how it went
		cmd := h.Command("timeout", fmt.Sprint(netlab.Patience.Seconds()), "turnutils_uclient", "-c", "-u", user, "-w", password, "-e", peer.Addr().String(),
			"-r", fmt.Sprint(peer.Port()), "-n", fmt.Sprint(relayed), "-m", "1", "-l", "172", h.Box4.String())
		out, err = cmd.CombinedOutput()
		return err
	})
	return string(out)
}

// A client without a way to its peer finds one through the box, if it has credentials and the peer is
// nothing of the box's own but its media.
func TestTURN(t *testing.T) {
	t.Parallel()
	netlab.Need(t, "turnutils_uclient", "coturn")
	s := open(t, "alice")
	near, far := s.lab.Host(t, "near"), s.lab.Host(t, "far")
	seen := capture.Start(t, near)
	sw := s.box.Switch()
	st, err := sw.MediaPolicy(t.Context())
	if err == nil {
		st.STUN, st.TURN = ctl.On, ctl.On
		_, err = sw.SetMediaPolicy(t.Context(), ctl.MediaPolicyChange{Policy: st.MediaPolicy, Was: st.Number, Who: "test"})
	}
	if err != nil {
		t.Fatal(err)
	}
	page, err := sw.Users(t.Context(), ctl.UserQuery{Limit: 1})
	if err != nil || len(page.Users) != 1 {
		t.Fatalf("users %+v, %v", page, err)
	}
	given, err := sw.ReachCredentials(t.Context(), ctl.ReachRequest{User: page.Users[0].ID})
	if err != nil {
		t.Fatal(err)
	}
	peer := echo(t, far)
	whole := fmt.Sprintf("tot_send_msgs=%d, tot_recv_msgs=%d", relayed, relayed)
	for _, c := range []struct {
		name, password string
		peer           netip.AddrPort
		through        bool
	}{
		{"relayed", given.Password, peer, true},
		{"wrong password", given.Password + "x", peer, false},
		{"the box's page", given.Password, netip.AddrPortFrom(far.Box4, boxtest.HTTPS), false},
		{"the box's loopback", given.Password, netip.MustParseAddrPort("127.0.0.1:5060"), false},
	} {
		if got := coturn(near, given.Username, c.password, c.peer); strings.Contains(got, whole) != c.through {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	for at, example := range seen.Peers() {
		if at == far.V4 {
			t.Errorf("a packet went past the box: %s", example)
		}
	}
}
