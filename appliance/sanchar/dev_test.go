package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/mailbox"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/supervise"
)

// programs makes a folder with sanchar and the daemons, all played by this binary.
func programs(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(daemonNames(), "sanchar") {
		if err := os.Link(self, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// running is a "sanchar dev" of its own process.
type running struct {
	t      *testing.T
	cmd    *exec.Cmd
	data   string
	stdout *bufio.Reader
	stderr bytes.Buffer
}

func startDev(t *testing.T, dir string, env []string, args ...string) *running {
	t.Helper()
	r := &running{t: t, data: filepath.Join(t.TempDir(), "d")}
	r.cmd = exec.CommandContext(t.Context(), filepath.Join(dir, "sanchar"), append([]string{"dev", "--data", r.data, "--bind", "127.0.0.1"}, args...)...)
	r.cmd.Env = append(os.Environ(), env...)
	r.cmd.Stderr = &r.stderr
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.stdout = bufio.NewReader(out)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// untilReady returns what stands on the standard output before the line that says ready.
func (r *running) untilReady() string {
	r.t.Helper()
	var text strings.Builder
	for {
		line, err := r.stdout.ReadString('\n')
		if err != nil {
			r.t.Fatalf("not ready: %v, %v\n%s\n%s", err, r.cmd.Wait(), text.String(), r.stderr.String())
		}
		if line == "ready\n" {
			return text.String()
		}
		text.WriteString(line)
	}
}

// wait returns the rest of the standard output and the exit status.
func (r *running) wait() (rest string, status int) {
	r.t.Helper()
	data, err := io.ReadAll(r.stdout)
	if err != nil {
		r.t.Fatal(err)
	}
	err = r.cmd.Wait()
	exit, isExit := errors.AsType[*exec.ExitError](err)
	if err != nil && !isExit {
		r.t.Fatal(err)
	}
	if isExit {
		return string(data), exit.ExitCode()
	}
	return string(data), 0
}

func (r *running) signal(sig os.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.t.Fatal(err)
	}
}

// freePorts returns flags with ports that nobody has just now.
func freePorts(t *testing.T) []string {
	t.Helper()
	var args []string
	for _, name := range []string{"--sip", "--sips", "--https"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		args = append(args, name, strconv.Itoa(ln.Addr().(*net.TCPAddr).Port))
	}
	return args
}

func want(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in\n%s", part, text)
		}
	}
}

func TestDevRunsTheBoxUntilItIsStopped(t *testing.T) {
	t.Parallel()
	csv, token := filepath.Join(t.TempDir(), "u.csv"), filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(csv, []byte("user,password\nalice,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ports := freePorts(t)
	r := startDev(t, programs(t), nil, append(ports, "--domain", "pbx.test", "--users", csv, "--admin-token-file", token,
		"--limits", "off", "--log", "debug", "--ports", "30000-30999")...)
	text := r.untilReady()
	want(t, text, "page         https://127.0.0.1:"+ports[5], "set-up code  ABCD-1234", "domain       pbx.test", "u.csv: 1 users added, 0 changed",
		"SIP          127.0.0.1 port "+ports[1]+" over UDP and TCP, "+ports[3]+" over TLS", "data         "+r.data, "log          "+r.data+"/log/sanchar.log",
		"register sip:alice@pbx.test sip:127.0.0.1:"+ports[1]+" PASSWORD")
	if data, err := os.ReadFile(token); err != nil || string(data) != "a token\n" {
		t.Errorf("token %q, %v", data, err)
	}
	if got := sanchar(t, "", "status", "--run", filepath.Join(r.data, "run")); got.status != 0 {
		t.Errorf("status %+v", got)
	}
	common := func(name string) string {
		return fmt.Sprintf("--run %s/run --data %s/%s --log debug", r.data, r.data, strings.TrimSuffix(name, "d"))
	}
	for name, flags := range map[string]string{
		"netd":    " --offload off",
		"admind":  " --bind 127.0.0.1 --https " + ports[5] + " --token-file " + token,
		"mediad":  " --ports 30000-30999",
		"switchd": " --bind 127.0.0.1 --sip " + ports[1] + " --sips " + ports[3] + " --domain pbx.test --limits off",
	} {
		data, err := os.ReadFile(filepath.Join(r.data, strings.TrimSuffix(name, "d"), "args"))
		if got := string(data); err != nil || got != common(name)+flags {
			t.Errorf("%s was started with\n\t%s, not\n\t%s%s (%v)", name, got, common(name), flags, err)
		}
	}
	r.signal(os.Interrupt)
	if rest, status := r.wait(); status != 0 || rest != "" {
		t.Errorf("after the stop: status %d, output %q\n%s", status, rest, r.stderr.String())
	}
	log, err := os.ReadFile(filepath.Join(r.data, "log", "sanchar.log"))
	if err != nil {
		t.Fatal(err)
	}
	want(t, string(log), "switchd | started", "netd    | stopped")
	want(t, r.stderr.String(), string(log))
	// One after the other: each may still hand over to those that stop after it.
	if order, err := os.ReadFile(filepath.Join(r.data, "stopped")); err != nil || string(order) != "switchd mediad admind netd " {
		t.Errorf("stopped in the order %q, %v", order, err)
	}
}

// Make and timeout pass on the Ctrl-C that the terminal sent to all.
func TestASignalThatComesTwiceIsOne(t *testing.T) {
	t.Parallel()
	r := startDev(t, programs(t), []string{"PLAY_SLOW=mediad"}, freePorts(t)...)
	r.untilReady()
	r.signal(os.Interrupt)
	for order := ""; order == ""; { // until switchd has stopped: now mediad takes its time
		data, err := os.ReadFile(filepath.Join(r.data, "stopped"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		order = string(data)
	}
	r.signal(os.Interrupt)
	if _, status := r.wait(); status != 0 {
		t.Errorf("status %d\n%s", status, r.stderr.String())
	}
}

func TestDevStartsADaemonAgain(t *testing.T) {
	t.Parallel()
	r := startDev(t, programs(t), nil, freePorts(t)...)
	want(t, r.untilReady(), "domain       none yet: the set-up page asks for it", "set the box up on its page", "users add alice 101")
	pid, err := os.ReadFile(filepath.Join(r.data, "media", "pid"))
	if err != nil {
		t.Fatal(err)
	}
	old, err := strconv.Atoi(string(pid))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	media := ctl.NewMedia(filepath.Join(r.data, "run", "media.sock"))
	defer media.Close()
	for version := ""; version == "" || version == string(pid); { // the fake's version is its pid
		st, _ := media.Status(t.Context())
		version = st.Version
	}
	r.signal(syscall.SIGTERM)
	if _, status := r.wait(); status != 0 {
		t.Errorf("status %d\n%s", status, r.stderr.String())
	}
	want(t, r.stderr.String(), `msg="program exited" name=mediad`, "killed")
}

func TestDevSaysWhichDaemonCannotStartAndWhy(t *testing.T) {
	t.Parallel()
	r := startDev(t, programs(t), []string{"PLAY_FAULT=switchd"}, freePorts(t)...)
	if rest, status := r.wait(); status != 1 || strings.Contains(rest, "ready") {
		t.Errorf("status %d, output %q", status, rest)
	}
	want(t, r.stderr.String(), "sanchar: switchd cannot start: exit status 1. It said last:\n  listen udp: address already in use")
}

func TestDevRefusesUsersThatAreWrong(t *testing.T) {
	t.Parallel()
	csv := filepath.Join(t.TempDir(), "u.csv")
	if err := os.WriteFile(csv, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		domain []string
		says   []string
	}{
		{[]string{"--domain", "pbx.test"}, []string{`line 1 "wrong": a header row`}},
		{nil, []string{"the box has no domain yet", "give it one with --domain NAME"}},
	} {
		r := startDev(t, programs(t), nil, append(append(freePorts(t), "--users", csv), c.domain...)...)
		if rest, status := r.wait(); status != 1 || strings.Contains(rest, "ready") {
			t.Errorf("status %d, output %q", status, rest)
		}
		want(t, r.stderr.String(), c.says...)
	}
}

func TestTwoDoNotShareTheirData(t *testing.T) {
	t.Parallel()
	dir := programs(t)
	r := startDev(t, dir, nil, freePorts(t)...)
	r.untilReady()
	got := sanchar(t, "", append([]string{"dev", "--data", r.data}, freePorts(t)...)...)
	if got.status != 1 || !strings.Contains(got.err, "another sanchar dev uses "+r.data) {
		t.Errorf("got %+v", got)
	}
	r.signal(os.Interrupt)
	if _, status := r.wait(); status != 0 {
		t.Errorf("status %d\n%s", status, r.stderr.String())
	}
}

func TestAProgramThatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	dir := programs(t)
	if err := os.Remove(filepath.Join(dir, "mediad")); err != nil {
		t.Fatal(err)
	}
	r := startDev(t, dir, nil, freePorts(t)...)
	if _, status := r.wait(); status != 1 {
		t.Errorf("status %d", status)
	}
	want(t, r.stderr.String(), "the program mediad is not in "+dir, "make build")
}

func TestWrongOptionsAreToldAllAtOnce(t *testing.T) {
	t.Parallel()
	got := sanchar(t, "", "dev", "--bind", "here", "--sip", "0", "--https", "70000", "--ports", "9-8", "--limits", "some", "--log", "loud",
		"--users", "/nowhere.csv", "--data", "/tmp/"+strings.Repeat("d", 100))
	if got.status != 1 {
		t.Errorf("status %d", got.status)
	}
	want(t, got.err, "8 fields are wrong", `--bind "here": an address`, `--sip "0"`, `--https "70000"`, `--ports "9-8"`, `--limits "some"`, `--log "loud"`,
		`--users "/nowhere.csv"`, "bytes too long", "To do: ")
}

func TestADaemonThatIsNeverReadyIsNamed(t *testing.T) {
	t.Parallel()
	con, err := openConsole(io.Discard, filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	d := &devBox{con: con, events: mailbox.New[supervise.Event]()}
	for _, name := range []string{"netd", "admind", "switchd"} {
		d.events.Put(supervise.Event{Name: name, Kind: supervise.Ready})
	}
	d.events.Put(supervise.Event{Name: "mediad", Kind: supervise.Status, Text: "opening ports"})
	con.say("mediad", "opening 10000 ports")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := d.awaitReady(ctx); err == nil || err.Error() != "mediad cannot start: it has not said that it is ready. It said last:\nopening 10000 ports" {
		t.Errorf("got %v", err)
	}
	if err := con.close(); err != nil {
		t.Error(err)
	}
}

func TestTheAddressForPhones(t *testing.T) {
	t.Parallel()
	p := netip.MustParsePrefix
	lo := ctl.Link{Name: "lo", Up: true, Carrier: true, Loopback: true, Addresses: []netip.Prefix{p("127.0.0.1/8")}}
	six := ctl.Link{Name: "a", Up: true, Carrier: true, Addresses: []netip.Prefix{p("fe80::1/64"), p("2001:db8::1/64")}}
	four := ctl.Link{Name: "b", Up: true, Carrier: true, Addresses: []netip.Prefix{p("192.0.2.1/24")}}
	unplugged := ctl.Link{Name: "c", Up: true, Addresses: []netip.Prefix{p("198.51.100.1/24")}}
	for want, all := range map[string][]ctl.Link{
		"127.0.0.1":   {lo, unplugged},
		"2001:db8::1": {lo, six},
		"192.0.2.1":   {lo, unplugged, six, four},
	} {
		if got := reachable(all); got.String() != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
}
