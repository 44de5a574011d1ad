package peers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coraltele/sanchar/appliance/bench/proc"
	"github.com/coraltele/sanchar/appliance/bench/sipload"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Names of the parts of the box.
const (
	Switchd = "switchd"
	Mediad  = "mediad"
	Admind  = "admind"
	Netd    = "netd"
	Sanchar = "sanchar" // runs the others on a machine that is no box
)

// Daemons are the parts that a box has.
func Daemons() []string { return []string{Switchd, Mediad, Admind, Netd} }

// StartBox starts the whole box from the programs in bin, with accounts for so many users, and no
// limits per source: all load comes from one. env is added to the environment.
func StartBox(ctx context.Context, bin string, users int, env ...string) (*Server, error) {
	s := newServer("Sanchar")
	err := s.prepare()
	if err == nil {
		err = s.startDev(ctx, bin, users, env)
	}
	if err != nil {
		return nil, s.failed(err)
	}
	return s, nil
}

func (s *Server) prepare() (err error) {
	if s.dir, err = os.MkdirTemp("", "sanchar-bench-"); err != nil {
		return err
	}
	port, err := freePort(boxAddress(), firstPort)
	s.SIP = netip.AddrPortFrom(boxAddress(), port)
	return err
}

func (s *Server) startDev(ctx context.Context, bin string, users int, env []string) error {
	file := filepath.Join(s.dir, "users.csv")
	if err := os.WriteFile(file, []byte(accounts(users)), 0o600); err != nil {
		return err
	}
	port := int(s.SIP.Port())
	args := []string{
		"dev", "--data", filepath.Join(s.dir, "data"), "--bind", s.SIP.Addr().String(), "--sip", strconv.Itoa(port), "--sips", strconv.Itoa(port + 1),
		"--https", strconv.Itoa(port + 2), "--ports", mediaPorts, "--domain", Domain, "--limits", "off",
	}
	if users > 0 {
		args = append(args, "--users", file)
	}
	if err := s.start(env, filepath.Join(bin, Sanchar), args...); err != nil {
		return err
	}
	if err := s.waitReady(ctx); err != nil {
		return err
	}
	return s.findDaemons()
}

// accounts is the file that an administrator would import.
func accounts(users int) string {
	var csv strings.Builder
	csv.WriteString("user,password\n")
	for i := range users {
		csv.WriteString(sipload.Name(i) + "," + sipload.Password + "\n")
	}
	return csv.String()
}

// waitReady waits for the line that tells scripts that all is ready.
func (s *Server) waitReady(ctx context.Context) error {
	p := s.procs[0]
	return poll(ctx, func() error {
		select {
		case <-p.Ended():
			return proc.ErrEnded
		default:
		}
		if !slices.Contains(strings.Split(p.Output(), "\n"), "ready") {
			return errors.New("it does not say that it is ready")
		}
		return nil
	})
}

// findDaemons finds the processes of the box's daemons.
func (s *Server) findDaemons() error {
	pids, err := proc.Tree(s.procs[0].PID())
	if err != nil {
		return err
	}
	clear(s.parts) // the supervisor of a box is another, and these are its children
	for _, pid := range pids[1:] {
		name, err := proc.Command(pid)
		if err != nil {
			return err
		}
		s.parts[name] = pid
	}
	for _, name := range Daemons() {
		if s.parts[name] == 0 {
			return fmt.Errorf("%s does not run", name)
		}
	}
	return nil
}

// Log returns what all daemons of a box have written, each line with the daemon's name in front.
func (s *Server) Log() (string, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, "data", "log", "sanchar.log"))
	return string(text), err
}

// Switch is a switchd that runs alone.
type Switch struct {
	*Server
	bin    string
	limits string
}

// StartSwitch starts a switchd and makes its accounts.
func StartSwitch(ctx context.Context, bin string, users int, limits bool) (*Switch, error) {
	w := &Switch{Server: newServer("switchd"), bin: bin, limits: "off"}
	if limits {
		w.limits = "on"
	}
	err := w.prepare()
	if err == nil {
		_, err = w.run(ctx)
	}
	if err == nil {
		err = w.importUsers(ctx, users)
	}
	if err != nil {
		return nil, w.failed(err)
	}
	return w, nil
}

// run returns how long switchd took from exec to its first answer.
func (w *Switch) run(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	err := w.start(nil, filepath.Join(w.bin, Switchd), "--run", w.dir, "--data", filepath.Join(w.dir, "switch"), "--bind", w.SIP.Addr().String(),
		"--sip", strconv.Itoa(int(w.SIP.Port())), "--sips", strconv.Itoa(int(w.SIP.Port())+1), "--domain", Domain, "--limits", w.limits)
	if err != nil {
		return 0, err
	}
	at, err := w.answer(ctx)
	return at.Sub(began), err
}

// Restart starts switchd again with what it has on disk, and returns as run does.
func (w *Switch) Restart(ctx context.Context) (time.Duration, error) {
	if err := w.procs[0].Stop(); err != nil {
		return 0, err
	}
	w.procs = w.procs[:0]
	return w.run(ctx)
}

func (w *Switch) importUsers(ctx context.Context, users int) error {
	sw := ctl.NewSwitch(filepath.Join(w.dir, "switch.sock"))
	defer sw.Close()
	return poll(ctx, func() error {
		_, err := sw.ImportUsers(ctx, strings.NewReader(accounts(users)))
		return err
	})
}

// poll calls do until it succeeds or the time of a start is over.
func poll(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		err := do()
		if err == nil || errors.Is(err, proc.ErrEnded) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, fmt.Errorf("waited for it: %w", ctx.Err()))
		case <-time.After(10 * time.Millisecond):
		}
	}
}
