package edge

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// connected returns both ends of a TCP connection.
func (r *rig) connected(t *testing.T) (*conn, net.Conn) {
	t.Helper()
	peer := r.dial(t, TCP, true)
	if got := ask(t, peer, request("OPTIONS", "sip:"+domain, ""), answerTime); status(got) != 200 {
		t.Fatal(got)
	}
	c := r.edge.conns.find(TCP, unmapped(peer.LocalAddr().(*net.TCPAddr).AddrPort()))
	if c == nil {
		t.Fatal("no connection")
	}
	return c, peer
}

func TestASlowPeerGetsAllInOrder(t *testing.T) {
	r := newRig(t, true)
	c, peer := r.connected(t)
	var sent bytes.Buffer
	queued := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.queue)
	}
	for i := 0; queued() < maxQueued/2; i++ {
		chunk := bytes.Repeat([]byte{byte(i)}, 8<<10)
		if err := c.send(chunk); err != nil {
			t.Fatal(err)
		}
		sent.Write(chunk)
	}
	if late := r.edge.poller.overdue(time.Now().Add(writeTime + time.Second).UnixNano()); len(late) != 1 || late[0] != c {
		t.Errorf("a peer that takes nothing may stay: %v", late)
	}
	_ = peer.SetReadDeadline(time.Now().Add(answerTime))
	got := make([]byte, sent.Len())
	if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, sent.Bytes()) {
		t.Fatalf("not what was sent, %v", err)
	}
	if got := ask(t, peer, request("OPTIONS", "sip:"+domain, ""), answerTime); status(got) != 200 {
		t.Errorf("afterwards %q", got)
	}
	if n := queued(); n != 0 || c.plain.room.Load() != 0 {
		t.Errorf("%d bytes still wait", n)
	}
}

func TestAPeerThatTakesNothingIsCutOff(t *testing.T) {
	r := newRig(t, true)
	c, peer := r.connected(t)
	chunk := make([]byte, 32<<10)
	for c.send(chunk) == nil {
	}
	_ = peer.SetReadDeadline(time.Now().Add(answerTime))
	if _, err := io.Copy(io.Discard, peer); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	if c.send(chunk) == nil {
		t.Error("it still takes what is sent")
	}
}

// A message may come in any pieces, and several in one.
func TestMessagesInPieces(t *testing.T) {
	r := newRig(t, true)
	peer := r.dial(t, TCP, true)
	text := request("OPTIONS", "sip:"+domain, "") + "\r\n\r\n" + request("OPTIONS", "sip:"+domain, strings.Repeat("Note: "+strings.Repeat("y", 300)+"\r\n", 10))
	for i := range len(text) {
		if _, err := peer.Write([]byte{text[i]}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(peer, text); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	buf := make([]byte, 4096)
	_ = peer.SetReadDeadline(time.Now().Add(answerTime))
	for strings.Count(got.String(), "SIP/2.0 200") < 4 {
		n, err := peer.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, got.String())
		}
		got.Write(buf[:n])
	}
}

func TestSilentConnectionsEnd(t *testing.T) {
	r := newRig(t, true)
	c, peer := r.connected(t)
	for _, step := range []struct {
		name   string
		proven bool
		say    string
		after  time.Duration
		late   bool
	}{
		{"a stranger", false, "\r\n\r\n", strangerTime - time.Second, false},
		{"a stranger, later", false, "\r\n\r\n", strangerTime + time.Second, true},
		{"a user", true, "\r\n\r\n", idleTime - time.Minute, false},
		{"a user, later", true, "\r\n\r\n", idleTime + time.Minute, true},
	} {
		c.proven.Store(step.proven)
		if got := ask(t, peer, step.say, answerTime); got != "\r\n" {
			t.Fatalf("%s: %q", step.name, got)
		}
		// The answer leaves before the time is set anew.
		for len(r.edge.poller.overdue(time.Now().Add(step.after).UnixNano())) > 0 != step.late {
			time.Sleep(time.Millisecond)
		}
	}
	if _, err := io.WriteString(peer, "OPTIONS sip:"); err != nil { // what is begun must be ended
		t.Fatal(err)
	}
	for len(r.edge.poller.overdue(time.Now().Add(partTime+time.Second).UnixNano())) == 0 {
		time.Sleep(time.Millisecond)
	}
}
