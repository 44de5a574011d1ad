// Package boxtest runs the whole product in a lab, as its user starts it, and asks it through its
// public interfaces: SIP, the API with an owner's token, and the command line's sockets.
package boxtest

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/pki"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// Domain is the box's domain in tests.
const Domain = "pbx.test"

// The box's ports: in a namespace of its own the usual ones are free.
const (
	SIP   = 5060
	SIPS  = 5061
	HTTPS = 8443
)

// startTime is how long the four daemons may take until all answer, on a busy machine.
const startTime = 60 * time.Second

// stopTime is longer than the daemons may take to stop.
const stopTime = 25 * time.Second

// Config says what is special about a box.
type Config struct {
	Users []string // names of accounts
	Count int      // further accounts, named by User
	Data  string   // folder of its data; the lab's when empty
	Bin   string   // folder of its programs; that of all boxes when empty
}

// Box is a running product.
type Box struct {
	Lab *netlab.Lab

	t     testing.TB
	prog  *netlab.Program
	stop  func() // ends prog, once
	data  string
	bin   string
	users string // CSV file
	token string // file
}

// Password returns the password of an account.
func Password(user string) string { return "secret-of-" + user + "-0123456789" }

// Start runs `sanchar dev` on the lab's box and waits until all daemons answer.
func Start(t testing.TB, lab *netlab.Lab, cfg Config) *Box {
	t.Helper()
	b := &Box{Lab: lab, t: t, data: cfg.Data, bin: cfg.Bin, users: filepath.Join(lab.Box.Dir, "users.csv"), token: filepath.Join(lab.Box.Dir, "token")}
	if b.data == "" {
		b.data = filepath.Join(lab.Box.Dir, "data")
	}
	if b.bin == "" {
		b.bin = os.Getenv(BinKey)
	}
	if err := os.WriteFile(b.users, []byte(accounts(cfg)), 0o600); err != nil {
		t.Fatal(err)
	}
	b.run()
	return b
}

// Number returns the telephone number of the n-th of Config.Users.
func Number(n int) string { return fmt.Sprint(101 + n) }

// User returns the name of the n-th of Config.Count accounts.
func User(n int) string { return fmt.Sprint("u", n) }

func accounts(cfg Config) string {
	var csv strings.Builder
	csv.WriteString("user,number,password,name\n")
	for i, u := range cfg.Users {
		fmt.Fprintf(&csv, "%s,%s,%s,%s\n", u, Number(i), Password(u), strings.ToUpper(u[:1])+u[1:])
	}
	for i := range cfg.Count {
		u := User(i)
		fmt.Fprintf(&csv, "%s,%d,%s,\n", u, 200000+i, Password(u))
	}
	return csv.String()
}

func (b *Box) run() {
	b.t.Helper()
	cmd := b.Lab.Box.Command(filepath.Join(b.bin, "sanchar"), "dev", "--data", b.data, "--sip", fmt.Sprint(SIP), "--sips", fmt.Sprint(SIPS), "--https", fmt.Sprint(HTTPS),
		"--domain", Domain, "--users", b.users, "--admin-token-file", b.token, "--limits", "off")
	b.prog = b.Lab.Box.Run(b.t, cmd)
	b.prog.Name = "sanchar dev"
	prog := b.prog
	b.stop = sync.OnceFunc(func() { b.t.Helper(); b.interrupt(prog) })
	b.t.Cleanup(b.stop)
	if _, err := b.prog.Await(0, regexp.MustCompile(`^ready$`), startTime); err != nil {
		b.t.Fatal(err)
	}
}

// interrupt stops the box as Ctrl-C does, and wants it to end without a fault.
func (b *Box) interrupt(prog *netlab.Program) {
	b.t.Helper()
	if prog.Ended() {
		b.t.Errorf("the box ended by itself: %v", prog.Wait(0))
		return
	}
	if err := prog.Signal(syscall.SIGINT); err != nil {
		b.t.Error(err)
	}
	if err := prog.Wait(stopTime); err != nil {
		b.t.Errorf("stop of the box: %v", err)
	}
	for _, line := range prog.After(0) {
		if strings.Contains(line, "panic") || strings.Contains(line, "DATA RACE") {
			b.t.Errorf("in the box's log: %s", line)
		}
	}
}

// Restart stops the box and starts it again on the same data.
func (b *Box) Restart() {
	b.t.Helper()
	b.stop()
	b.run()
}

// Log returns the lines that the box wrote after a mark.
func (b *Box) Log(mark int) []string { return b.prog.After(mark) }

// Mark returns a point in the box's log.
func (b *Box) Mark() int { return b.prog.Mark() }

// Server returns where a host finds the box's SIP port for a transport.
func Server(h *netlab.Host, transport string) netip.AddrPort {
	if transport == "tls" {
		return netip.AddrPortFrom(h.Box4, SIPS)
	}
	return netip.AddrPortFrom(h.Box4, SIP)
}

// Switch returns a client of switchd's socket.
func (b *Box) Switch() ctl.Switch {
	s := ctl.NewSwitch(b.socket("switch"))
	b.t.Cleanup(func() { _ = s.Close() }) // idle connections only
	return s
}

// Media returns a client of mediad's socket.
func (b *Box) Media() ctl.Media {
	m := ctl.NewMedia(b.socket("media"))
	b.t.Cleanup(func() { _ = m.Close() }) // idle connections only
	return m
}

// Admin returns a client of admind's socket.
func (b *Box) Admin() ctl.Admin {
	a := ctl.NewAdmin(b.socket("admin"))
	b.t.Cleanup(func() { _ = a.Close() }) // idle connections only
	return a
}

func (b *Box) socket(name string) string { return filepath.Join(b.data, "run", name+".sock") }

// Folder returns the names in a folder of the box's data.
func (b *Box) Folder(path ...string) (names []string) {
	b.t.Helper()
	entries, err := os.ReadDir(filepath.Join(append([]string{b.data}, path...)...))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// StrangeCA writes the certificate of a CA that has signed nothing of the box.
func (b *Box) StrangeCA() (file string) {
	b.t.Helper()
	ca, err := pki.OpenCA(b.t.TempDir(), nil, time.Now)
	if err != nil {
		b.t.Fatal(err)
	}
	file = filepath.Join(b.Lab.Box.Dir, "strange.pem")
	if err := os.WriteFile(file, ca.PEM(), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return file
}

// CA writes the certificate of the box's CA to a file, as a user installs it in a phone.
func (b *Box) CA() (file string) {
	b.t.Helper()
	ca, err := b.Switch().CA(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	file = filepath.Join(b.Lab.Box.Dir, "ca.pem")
	if err := os.WriteFile(file, []byte(ca.PEM), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return file
}
