// Package baresip drives Debian's unmodified baresip as a phone of a test, by its control port.
package baresip

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/tone"
)

// Config is a phone's account and what it plays.
type Config struct {
	User, Password string
	Login          string // user name in its digests, when it is another
	Domain         string
	Server         netip.AddrPort
	Transport      string  // "udp" or "tcp": over TLS it does not find the challenge that it knows
	Tone           float64 // in hertz, played into each call
	Codecs         string  // in baresip's words; "" is opus, PCMU and PCMA
	Video          bool    // H.264, of a picture of its own
	Encryption     string  // "srtp" (SDES) or "dtls", which it insists on; "" is none
}

// Event is what baresip tells of itself.
type Event struct {
	Event     bool   `json:"event"`
	Type      string `json:"type"`
	ID        string `json:"id"` // Call-ID
	PeerURI   string `json:"peeruri"`
	Param     string `json:"param"`
	Direction string `json:"direction"`
}

// Phone is a running baresip.
type Phone struct {
	Config
	t    testing.TB
	dir  string
	prog *netlab.Program
	ctrl net.Conn

	calls int // that were up; each has a file of what was heard

	mu     sync.Mutex // guards events and more
	events []Event
	more   chan struct{} // closed and replaced with each event
	done   chan struct{} // closed when the reader has ended
}

// moduleDir is where Debian keeps what baresip is made of.
const moduleDir = "/usr/lib/baresip/modules"

// control is where baresip takes commands, inside its namespace.
const control = "127.0.0.1:4444"

// Start runs baresip on h and waits until it is registered.
func Start(t testing.TB, h *netlab.Host, cfg Config) *Phone {
	t.Helper()
	netlab.Need(t, "baresip", "baresip-core")
	if cfg.Video {
		if _, err := os.Stat(filepath.Join(moduleDir, "avcodec.so")); err != nil {
			t.Fatalf("baresip has no H.264: apt-get install --no-install-recommends baresip-ffmpeg: %v", err)
		}
	}
	p := &Phone{Config: cfg, t: t, dir: filepath.Join(h.Dir, cfg.User), more: make(chan struct{}), done: make(chan struct{})}
	if err := p.write(); err != nil {
		t.Fatal(err)
	}
	p.prog = h.Run(t, h.Command("baresip", "-f", p.dir))
	p.prog.Name = h.Name + " baresip of " + cfg.User
	p.connect(h)
	// Registered may be earlier than the control port is open, so the event is not waited for.
	if _, err := p.prog.Await(0, regexp.MustCompile(`registered successfully`), netlab.Patience); err != nil {
		t.Fatal(err)
	}
	return p
}

// connect opens the control port, as soon as it is there.
func (p *Phone) connect(h *netlab.Host) {
	p.t.Helper()
	var err error
	for until := time.Now().Add(netlab.Patience); p.ctrl == nil; time.Sleep(20 * time.Millisecond) {
		if p.ctrl, err = h.Dial("tcp", control); err != nil && (!errors.Is(err, syscall.ECONNREFUSED) || time.Now().After(until) || p.prog.Ended()) {
			p.t.Fatalf("%s: control port: %v", p.prog.Name, err)
		}
	}
	go p.read()
	p.t.Cleanup(func() {
		_ = p.ctrl.Close() // whatever is on its way
		<-p.done
	})
}

// read collects events: netstrings of JSON.
func (p *Phone) read() {
	defer close(p.done)
	for r := bufio.NewReader(p.ctrl); ; {
		size, err := r.ReadString(':')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(size, ":"))
		body := make([]byte, max(n, 0)+1) // with the comma
		if _, readErr := io.ReadFull(r, body); err != nil || readErr != nil {
			return
		}
		var ev Event
		if json.Unmarshal(body[:n], &ev) != nil || !ev.Event {
			continue // an answer to a command
		}
		p.mu.Lock()
		p.events = append(p.events, ev)
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
}

// Command sends a command.
func (p *Phone) Command(command, params string) {
	p.t.Helper()
	body, err := json.Marshal(map[string]string{"command": command, "params": params})
	if err == nil {
		_, err = fmt.Fprintf(p.ctrl, "%d:%s,", len(body), body)
	}
	if err != nil {
		p.t.Fatalf("%s: %s: %v", p.prog.Name, command, err)
	}
}

// Await waits for the next event of a kind, from the first that was not waited for, and takes it
// and all before it.
func (p *Phone) Await(kind string) Event {
	p.t.Helper()
	for late := time.After(netlab.Patience); ; {
		p.mu.Lock()
		more := p.more
		at := slices.IndexFunc(p.events, func(ev Event) bool { return ev.Type == kind })
		if at >= 0 {
			ev := p.events[at]
			p.events = p.events[at+1:]
			p.mu.Unlock()
			return ev
		}
		p.mu.Unlock()
		select {
		case <-more:
		case <-late:
			p.t.Fatalf("%s told nothing of %s", p.prog.Name, kind)
		}
	}
}

// AoR is the phone's address of record.
func (p *Phone) AoR() string { return "sip:" + p.User + "@" + p.Domain }

// Call calls an address.
func (p *Phone) Call(to string) { p.Command("dial", to) }

// Answer waits for an incoming call and takes it.
func (p *Phone) Answer() {
	p.t.Helper()
	p.Await("CALL_INCOMING")
	p.Command("accept", "")
	p.Up()
}

// Up waits until the call is up.
func (p *Phone) Up() {
	p.t.Helper()
	p.Await("CALL_ESTABLISHED")
	p.calls++
}

// HangUp ends the call.
func (p *Phone) HangUp() { p.Command("hangup", "") }

// Over waits until the call is over and returns why.
func (p *Phone) Over() string {
	p.t.Helper()
	return p.Await("CALL_CLOSED").Param
}

// Hears waits until one tone is heard clean, without the others, in the call that is up.
func (p *Phone) Hears(want float64, others ...float64) {
	p.t.Helper()
	var heard tone.Sound
	var begin time.Duration
	for until := time.Now().Add(netlab.Patience); ; time.Sleep(100 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(p.dir, "dump-*-dec.wav"))
		if err == nil && len(files) >= p.calls {
			heard, err = tone.Read(slices.Max(files), 0)
		}
		if err != nil {
			p.t.Fatal(err)
		}
		if begin == 0 {
			begin = heard.Length()
		}
		if heard.From(begin).Clean(want, others...) {
			return
		}
		if time.Now().After(until) {
			p.t.Fatalf("%s does not hear %.0f Hz clean: %s", p.User, want, heard.Describe(append([]float64{want}, others...)...))
		}
	}
}

// toneLength is longer than any call of a test.
const toneLength = 2 * time.Minute

// write makes the phone's folder.
func (p *Phone) write() error {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	account := fmt.Sprintf("<sip:%s@%s>;auth_user=%s;auth_pass=%s;outbound=\"sip:%s;transport=%s\";regint=600;ptime=20;audio_codecs=%s%s%s\n",
		p.User, p.Domain, cmp.Or(p.Login, p.User), p.Password, p.Server, p.Transport, cmp.Or(p.Codecs, "opus/48000/2,pcmu,pcma"), p.video(), p.encryption())
	return errors.Join(
		tone.Write(filepath.Join(p.dir, "tone.wav"), p.Tone, toneLength),
		os.WriteFile(filepath.Join(p.dir, "config"), []byte(p.settings()), 0o600),
		os.WriteFile(filepath.Join(p.dir, "accounts"), []byte(account), 0o600),
		os.WriteFile(filepath.Join(p.dir, "contacts"), nil, 0o600),
	)
}

func (p *Phone) video() string {
	if p.Video {
		return ";video_codecs=h264"
	}
	return ""
}

func (p *Phone) encryption() string {
	switch p.Encryption {
	case "srtp":
		return ";mediaenc=srtp-mand"
	case "dtls":
		return ";mediaenc=dtls_srtp"
	}
	return ""
}

func (p *Phone) settings() string {
	modules := []string{"stdio", "g711", "opus", "aufile", "aubridge", "sndfile", "uuid"}
	switch p.Encryption {
	case "srtp":
		modules = append(modules, "srtp")
	case "dtls":
		modules = append(modules, "srtp", "dtls_srtp")
	}
	apps := []string{"account", "contact", "menu", "ctrl_tcp"}
	lines := []string{
		"sip_listen 0.0.0.0:5060",
		"audio_player aubridge,nil", "audio_source aufile," + filepath.Join(p.dir, "tone.wav"), "audio_alert aubridge,nil",
		"ausrc_srate 8000", "ausrc_channels 1", "auplay_channels 1", "audio_buffer 20-160", "rtp_ports 10000-10100", "rtp_stats yes",
		"snd_path " + p.dir, "ctrl_tcp_listen " + control, "module_path " + moduleDir,
	}
	if p.Video {
		modules = append(modules, "avcodec", "fakevideo")
		lines = append(lines, "video_source fakevideo,nil", "video_display fakevideo,nil", "video_size 352x288", "video_fps 15", "video_bitrate 300000")
	}
	for _, m := range modules {
		lines = append(lines, "module "+m+".so")
	}
	for _, m := range apps {
		lines = append(lines, "module_app "+m+".so")
	}
	return strings.Join(lines, "\n") + "\n"
}
