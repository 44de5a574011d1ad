package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// rtpengine is the peer that we compare with, relaying in user space, told what to do by its ng
// protocol: a cookie and a bencoded dictionary in a datagram.
type rtpengine struct {
	path   string
	secure bool // B takes SRTP
	cpu    int
	cmd    *exec.Cmd
	free   chan net.Conn // sockets to ask by, one question at a time
	next   atomic.Uint64
}

// askers is how many questions can be on their way at a time.
const askers = 64

const ngAddress = "127.0.0.1:12223"

func (r *rtpengine) name() string { return "rtpengine" + srtpTitle(r.secure) }

func (r *rtpengine) start(ctx context.Context, w *world) error {
	r.cmd = w.command(ctx, r.cpu, r.path, "--table=-1", "--foreground", "--log-stderr", "--log-level=3",
		"--interface="+relayIP, "--listen-ng="+ngAddress, "--num-threads=1",
		"--port-min=40000", "--port-max=59999", "--timeout=36000", "--silent-timeout=36000", "--offer-timeout=36000")
	if err := r.cmd.Start(); err != nil {
		return err
	}
	r.free = make(chan net.Conn, askers)
	if err := w.look(w.relayNS, func() error {
		for range askers {
			conn, err := net.Dial("udp", ngAddress)
			if err != nil {
				return err
			}
			r.free <- conn
		}
		return nil
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
	dict := func(command, sdp string) map[string]string {
		return map[string]string{"command": command, "call-id": callID(i), "from-tag": "a", "to-tag": "b", "sdp": sdp, "ICE": "remove"}
	}
	offer := dict("offer", sdpOf(a))
	if r.secure {
		offer["DTLS"], offer["transport protocol"] = "off", "RTP/SAVP"
	}
	offered, err := r.ask(offer)
	if err != nil {
		return p, fmt.Errorf("offer: %w", err)
	}
	said := sdpOf(b)
	if r.secure {
		if said, err = securedBy(said, offered); err != nil {
			return p, err
		}
	}
	answered, err := r.ask(dict("answer", said))
	if err != nil {
		return p, fmt.Errorf("answer: %w", err)
	}
	if p.a, err = sdpAddress(answered); err != nil || r.secure {
		return p, err
	}
	p.b, err = sdpAddress(offered) // the address that B is told is the one that B sends to
	return p, err
}

// securedBy makes B's answer to an offer take SRTP, with the offer's tag for our suite.
func securedBy(answer, offer string) (string, error) {
	tag := regexp.MustCompile(`a=crypto:(\d+) ` + suite + ` `).FindStringSubmatch(offer)
	if tag == nil {
		return "", fmt.Errorf("no SRTP offered in %q", offer)
	}
	return strings.Replace(answer, "RTP/AVP", "RTP/SAVP", 1) +
		"a=crypto:" + tag[1] + " " + suite + " inline:" + base64.StdEncoding.EncodeToString(partyKey()) + "\r\n", nil
}

func (r *rtpengine) hangUp(_ context.Context, i int) error {
	_, err := r.ask(map[string]string{"command": "delete", "call-id": callID(i), "from-tag": "a", "delete-delay": "0"})
	return err
}

// ask sends a command and returns the raw answer.
func (r *rtpengine) ask(dict map[string]string) (string, error) {
	cookie := strconv.FormatUint(r.next.Add(1), 10)
	var b strings.Builder
	b.WriteString(cookie + " d")
	for _, key := range []string{"DTLS", "ICE", "call-id", "command", "delete-delay", "from-tag", "sdp", "to-tag", "transport protocol"} { // bencode wants them sorted
		if v, ok := dict[key]; ok {
			fmt.Fprintf(&b, "%d:%s%d:%s", len(key), key, len(v), v)
		}
	}
	b.WriteString("e")
	conn := <-r.free
	defer func() { r.free <- conn }()
	if _, err := conn.Write([]byte(b.String())); err != nil {
		return "", err
	}
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return "", err
	}
	buf := make([]byte, 65536)
	for {
		n, err := conn.Read(buf)
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

func (r *rtpengine) pids() []int { return []int{r.cmd.Process.Pid} }

func (r *rtpengine) stop() error {
	for range len(r.free) {
		_ = (<-r.free).Close() // it was a datagram socket: nothing is lost
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
