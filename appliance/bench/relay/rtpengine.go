package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// rtpengine is the peer that we compare with, relaying in user space, told what to do by its ng
// protocol: a cookie and a bencoded dictionary in a datagram.
type rtpengine struct {
	path string
	cpu  int
	cmd  *exec.Cmd
	conn net.Conn
	next int
}

const ngAddress = "127.0.0.1:12223"

func (r *rtpengine) name() string { return "rtpengine" }

func (r *rtpengine) start(ctx context.Context, w *world) error {
	r.cmd = w.command(ctx, r.cpu, r.path, "--table=-1", "--foreground", "--log-stderr", "--log-level=3",
		"--interface="+relayIP, "--listen-ng="+ngAddress, "--num-threads=1",
		"--port-min=30000", "--port-max=59999", "--timeout=36000", "--silent-timeout=36000", "--offer-timeout=36000")
	if err := r.cmd.Start(); err != nil {
		return err
	}
	if err := w.look(w.relayNS, func() (err error) {
		r.conn, err = net.Dial("udp", ngAddress)
		return err
	}); err != nil {
		return err
	}
	return poll(ctx, func() error {
		_, err := r.ask(map[string]string{"command": "ping"})
		return err
	})
}

func (r *rtpengine) call(_ context.Context, i int) (p relayPorts, err error) {
	a, b := party(i)
	ask := func(command string, from netip.AddrPort) (netip.AddrPort, error) {
		answer, err := r.ask(map[string]string{
			"command": command, "call-id": fmt.Sprint("call-", i), "from-tag": "a", "to-tag": "b", "sdp": sdpOf(from), "ICE": "remove",
		})
		if err != nil {
			return netip.AddrPort{}, err
		}
		return sdpAddress(answer)
	}
	if p.b, err = ask("offer", a); err != nil { // the address that B is told is the one that B sends to
		return p, fmt.Errorf("offer: %w", err)
	}
	if p.a, err = ask("answer", b); err != nil {
		return p, fmt.Errorf("answer: %w", err)
	}
	return p, nil
}

// ask sends a command and returns the raw answer.
func (r *rtpengine) ask(dict map[string]string) (string, error) {
	r.next++
	cookie := strconv.Itoa(r.next)
	var b strings.Builder
	b.WriteString(cookie + " d")
	for _, key := range []string{"ICE", "call-id", "command", "from-tag", "sdp", "to-tag"} { // bencode wants them sorted
		if v, ok := dict[key]; ok {
			fmt.Fprintf(&b, "%d:%s%d:%s", len(key), key, len(v), v)
		}
	}
	b.WriteString("e")
	if _, err := r.conn.Write([]byte(b.String())); err != nil {
		return "", err
	}
	if err := r.conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return "", err
	}
	buf := make([]byte, 65536)
	for {
		n, err := r.conn.Read(buf)
		if err != nil {
			return "", err
		}
		answer, ours := strings.CutPrefix(string(buf[:n]), cookie+" ")
		switch {
		case !ours: // of a question that timed out
		case strings.Contains(answer, "6:result5:error"):
			return "", errors.New("rtpengine: " + answer)
		default:
			return answer, nil
		}
	}
}

func sdpOf(a netip.AddrPort) string {
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %[1]s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio %[2]d RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n", a.Addr(), a.Port())
}

func sdpAddress(answer string) (netip.AddrPort, error) {
	c := regexp.MustCompile(`c=IN IP4 ([0-9.]+)`).FindStringSubmatch(answer)
	m := regexp.MustCompile(`m=audio (\d+)`).FindStringSubmatch(answer)
	if c == nil || m == nil {
		return netip.AddrPort{}, fmt.Errorf("no address in %q", answer)
	}
	return netip.ParseAddrPort(c[1] + ":" + m[1])
}

func (r *rtpengine) pid() int { return r.cmd.Process.Pid }

func (r *rtpengine) stop() error {
	if r.conn != nil {
		_ = r.conn.Close() // it was a datagram socket: nothing is lost
	}
	return stopProcess(r.cmd)
}

// stopProcess ends a relay in order and waits for it. How it ends is its own affair.
func stopProcess(cmd *exec.Cmd) error {
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		return err
	}
	_ = cmd.Wait()
	return nil
}

// poll calls do until it succeeds, for five seconds at most.
func poll(ctx context.Context, do func() error) (err error) {
	for range 100 {
		if err = do(); err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}
