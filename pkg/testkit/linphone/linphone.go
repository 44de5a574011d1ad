// Package linphone drives Debian's unmodified linphonec as a phone of a test: by its commands, its
// lines and its own log.
package linphone

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/tone"
)

// Config is a phone's account and what it plays.
type Config struct {
	User, Password string
	Domain         string
	Server         netip.AddrPort
	Transport      string  // "udp", "tcp" or "tls"
	CA             string  // file of the CA that signs the server, for TLS
	Tone           float64 // in hertz, played into each call
	MaxCalls       int     // a call more is refused as busy; 0 leaves it at ten
	Expires        int     // seconds asked for; 0 asks for 600
	CPIM           bool    // wrap messages, as the app does within its own domain
	Video          bool    // offer and take video; frames come from a picture of its own
	Fetch          bool    // fetch files that messages tell of at once; needs CA
	Encryption     string  // "srtp" (SDES), "dtls" or "zrtp", which it insists on; "" offers and wants none
	Lenient        bool    // it does not insist
	ICE            bool    // it checks connectivity
	AVPF           bool    // it offers early feedback
	Provision      string  // address where it fetches its account, of which it knows nothing then
	Push           string  // token by which it is woken; it stays the same device when it is started again
}

// Phone is a running linphonec.
type Phone struct {
	Config
	Host *netlab.Host

	t        testing.TB
	prog     *netlab.Program
	dir      string
	incoming int // where in its output the latest incoming call was seen
	recorded int // how many recordings were made
}

// toneLength is longer than any call of a test.
const toneLength = 2 * time.Minute

// Start runs linphonec on h and waits until it is registered.
func Start(t testing.TB, h *netlab.Host, cfg Config) *Phone {
	t.Helper()
	p := Open(t, h, cfg)
	p.Registered(0)
	return p
}

// Open runs linphonec on h, whether it can register or not.
func Open(t testing.TB, h *netlab.Host, cfg Config) *Phone {
	t.Helper()
	netlab.Need(t, "linphonec", "linphone-cli")
	if cfg.Expires == 0 {
		cfg.Expires = 600
	}
	p := &Phone{Config: cfg, Host: h, t: t, dir: filepath.Join(h.Dir, cfg.User)}
	if err := p.write(); err != nil {
		t.Fatal(err)
	}
	args := []string{"-c", "rc", "-d", "6", "-l", "log"}
	if cfg.Video {
		args = append(args, "-V")
	}
	cmd := h.Command("linphonec", args...)
	cmd.Dir = p.dir
	cmd.Env = append(cmd.Env, "HOME="+p.dir)
	p.prog = h.Run(t, cmd)
	p.prog.Name = h.Name + " linphonec of " + cfg.User
	p.Command("soundcard use files")
	p.await(0, `Using wav files instead of soundcard`)
	p.Command("play " + filepath.Join(p.dir, "tone.wav"))
	return p
}

// write makes the phone's folder: settings, tone, and the folders that linphonec wants to find.
func (p *Phone) write() error {
	if err := os.MkdirAll(filepath.Join(p.dir, ".local", "share", "linphone"), 0o700); err != nil {
		return err
	}
	if err := tone.Write(filepath.Join(p.dir, "tone.wav"), p.Tone, toneLength); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.dir, "rc"), []byte(p.settings()), 0o600)
}

// settings returns linphonec's configuration. A port of 0 is a transport that it does not use.
func (p *Phone) settings() string {
	ports := map[string]int{"udp": 0, "tcp": 0, "tls": 0}
	ports[p.Transport] = 5060
	server := fmt.Sprintf("sip:%s;transport=%s", p.Server, p.Transport)
	var b strings.Builder
	section := func(name string, lines ...string) {
		fmt.Fprintf(&b, "[%s]\n%s\n\n", name, strings.Join(lines, "\n"))
	}
	section("sip", fmt.Sprintf("sip_port=%d", ports["udp"]), fmt.Sprintf("sip_tcp_port=%d", ports["tcp"]), fmt.Sprintf("sip_tls_port=%d", ports["tls"]),
		"media_encryption="+p.encryption(), "media_encryption_mandatory="+bit(p.Encryption != "" && !p.Lenient), "root_ca="+p.CA, "verify_server_certs=1", "verify_server_cn=1", "default_proxy=0",
		"use_info=0", "guess_hostname=1", "use_ipv6="+bit(p.Server.Addr().Is6()))
	if p.Provision == "" {
		p.account(section, server)
	}
	section("rtp", "audio_rtp_port=7078", "video_rtp_port=9078")
	section("sound", "echocancellation=0")
	section("video", "enabled="+bit(p.Video), "capture="+bit(p.Video), "display=0", "automatically_initiate="+bit(p.Video), "automatically_accept="+bit(p.Video))
	section("lime", "enabled=0")
	if p.Fetch {
		section("app", "auto_download_incoming_files_max_size=0") // of any size
	}
	if p.ICE {
		section("nat_policy_0", "ref=lab", "protocols=ice")
		section("net", "nat_policy_ref=lab")
	}
	section("proxy_default_values", "cpim_in_basic_chat_rooms_enabled="+bit(p.CPIM))
	section("misc", "max_calls="+strconv.Itoa(max(p.MaxCalls, 0)), "uuid="+p.uuid(), "config-uri="+p.Provision)
	section("storage", "backend=sqlite3", "uri="+filepath.Join(p.dir, "linphone.db"))
	if p.MaxCalls == 0 {
		return strings.Replace(b.String(), "max_calls=0", "max_calls=10", 1)
	}
	return b.String()
}

func (p *Phone) account(section func(name string, lines ...string), server string) {
	section("proxy_0", "reg_proxy="+server, "reg_route=<"+server+";lr>", "reg_identity=sip:"+p.User+"@"+p.Domain,
		"reg_expires="+strconv.Itoa(p.Expires), "reg_sendregister=1", "publish=0", "contact_uri_parameters="+p.pushParams(), "avpf="+bit(p.AVPF))
	section("auth_info_0", "username="+p.User, "passwd="+p.Password, "realm="+p.Domain)
}

func (p *Phone) encryption() string {
	if p.Encryption == "" {
		return "none"
	}
	return p.Encryption
}

func (p *Phone) pushParams() string {
	if p.Push == "" {
		return ""
	}
	return "pn-provider=fcm;pn-prid=" + p.Push + ";pn-param=project;pn-silent=1"
}

// uuid returns the device's name for itself, "" for one that it makes up.
func (p *Phone) uuid() string {
	if p.Push == "" {
		return ""
	}
	h := sha256.Sum256([]byte(p.Push))
	return fmt.Sprintf("%x-%x-8%03x-8%03x-%x", h[:4], h[4:6], int(h[6])<<4, int(h[7])<<4, h[10:16])
}

func bit(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// AoR is the phone's address of record.
func (p *Phone) AoR() string { return "sip:" + p.User + "@" + p.Domain }

// Command types a command.
func (p *Phone) Command(line string) {
	p.t.Helper()
	if err := p.prog.Send(line); err != nil {
		p.t.Fatalf("%s: %s: %v", p.prog.Name, line, err)
	}
}

func (p *Phone) await(mark int, pattern string) []string {
	p.t.Helper()
	m, err := p.prog.Await(mark, regexp.MustCompile(pattern), netlab.Patience)
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

// Mark returns a point in the phone's output, for those that wait for what comes later.
func (p *Phone) Mark() int { return p.prog.Mark() }

// Fetched waits until the phone has fetched a file and returns where it put it.
func (p *Phone) Fetched(from int, name string) (path string) {
	p.t.Helper()
	return p.AwaitLog(from, `Renaming downloaded file from .* to \[(.*`+regexp.QuoteMeta(name)+`)\]`)[1]
}

// Kill ends the phone as its system does that needs the memory: it tells nobody.
func (p *Phone) Kill() { p.prog.Kill() }

// Quit ends the phone as a user would; it takes its registration back.
func (p *Phone) Quit() {
	p.t.Helper()
	p.Command("quit")
	if err := p.prog.Wait(netlab.Patience); err != nil {
		p.t.Error(err)
	}
}

// Registered waits until the phone is registered (again), after a place in its log.
func (p *Phone) Registered(from int) {
	p.t.Helper()
	p.AwaitLog(from, `moving from state \[LinphoneRegistration\w+\] to \[LinphoneRegistrationOk`)
}
