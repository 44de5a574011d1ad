package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

const (
	// idleSeat is how long somebody who signed in at the console stays so without a command: he may have left.
	idleSeat = 10 * time.Minute
	// signInWithin is how long it may take to check a password: it costs much on purpose, and a small box is slow.
	signInWithin = time.Minute
	// seatWidth and seatHeight are a terminal's that does not say how large it is, as on a serial line.
	seatWidth, seatHeight = 80, 24
	clearScreen           = "\x1b[2J\x1b[H"
)

// rescues are the commands that anybody may use who stands before the box: what tells that it lives and how
// it is reached, and what brings it back. Nobody who could pull its plug gains anything by them.
func rescues() []string {
	return []string{
		"status", "links", "net show", "net set-address", "net revert", "net diag", "net ping", "update state", "adopt", "keys recover", "version",
	}
}

// ownersOnly are the commands for which somebody must have signed in, also before the box is set up: what they
// show is good for ever.
func ownersOnly() []string { return []string{"keys code"} }

// notHere are the commands that a console of the box has no use for: they need files of who sits there.
func notHere() []string {
	return []string{"dev", "console", "users import", "net plan", "net apply", "net capture"}
}

// seat is a console of the box: a fixed list of commands, for who stands before it.
type seat struct {
	keys *keys
	term *term.Terminal
	box  *box
	dir  string // of the sockets

	mu   sync.Mutex  // guards what follows
	who  string      // has signed in; "" is nobody
	idle *time.Timer // signs him out
	all  bool        // what daemons say is shown too, not only what the box does as a machine
}

// atConsoleOf serves who sits at the terminal that it was started on.
func atConsoleOf(ctx context.Context, t *terminal, args []string) error {
	flags := flag.NewFlagSet("console", flag.ContinueOnError)
	dir := flags.String("run", "", "folder of the daemons' sockets")
	rest, err := parseMixed(t, flags, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usageError{"console does not take " + strings.Join(rest, " ")}
	}
	tty, isFile := t.in.(*os.File)
	if !isFile || !term.IsTerminal(int(tty.Fd())) {
		return usageError{"console needs a terminal: it is for the box's screen and serial port"}
	}
	was, err := term.MakeRaw(int(tty.Fd()))
	if err != nil {
		return err
	}
	s := newSeat(ctx, findRunDir(*dir), tty, t.out)
	if width, height, err := term.GetSize(int(tty.Fd())); err == nil && width > 0 && height > 0 {
		_ = s.term.SetSize(width, height) // it may be drawn again, on a terminal that takes it
	}
	err = s.run(ctx)
	return errors.Join(err, term.Restore(int(tty.Fd()), was))
}

func newSeat(ctx context.Context, dir string, keyboard io.Reader, screen io.Writer) *seat {
	s := &seat{keys: newKeys(ctx, screen), dir: dir, box: newBox(dir)}
	s.term = term.NewTerminal(s.keys, "")
	_ = s.term.SetSize(seatWidth, seatHeight) // nothing is on it yet
	go s.keys.pump(keyboard)                  // it ends with the terminal
	return s
}

// run serves until ctx ends or the terminal is gone.
func (s *seat) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var others sync.WaitGroup
	others.Go(func() { s.greet(ctx) })
	others.Go(func() { s.tell(ctx) })
	defer func() {
		cancel()
		s.leave()
		others.Wait()
		s.box.close()
	}()
	s.say("Sanchar %s, console. Type help.\n", version)
	for {
		s.term.SetPrompt(s.prompt())
		line, err := s.term.ReadLine()
		switch {
		case ctx.Err() != nil:
			return nil
		case s.over():
			return errors.New("the terminal is gone")
		case err != nil && !errors.Is(err, term.ErrPasteIndicator): // Ctrl-D
			s.leave()
			continue
		}
		if words := splitWords(line); len(words) > 0 {
			s.keys.while(ctx, func(ctx context.Context) { s.do(ctx, words) })
			s.active()
		}
	}
}

func (s *seat) over() bool {
	select {
	case <-s.keys.gone:
		return true
	default:
		return false
	}
}

func (s *seat) say(format string, args ...any) { fmt.Fprintf(s.term, format, args...) }

func (s *seat) prompt() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.who == "" {
		return "sanchar> "
	}
	return printable(s.who) + "@sanchar> "
}

// do does what a line asks for and tells what is wrong with it.
func (s *seat) do(ctx context.Context, words []string) {
	t := &terminal{in: strings.NewReader(""), out: s.term, err: s.term}
	report(t, away(s.act(ctx, t, words)))
}

// away tells of a daemon that is away what helps at a box.
func away(err error) error {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || p.Kind != problem.Unavailable || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	text, _, _ := strings.Cut(p.Text, ":")
	return problem.Wrap(err, p.Kind, p.Code, text, "wait a moment: it is started again by itself; if it stays away, type restart")
}

func (s *seat) act(ctx context.Context, t *terminal, words []string) error {
	for _, own := range s.own() {
		if own.name == words[0] {
			if !own.rescue && !s.trusted(ctx) {
				return errSignIn()
			}
			return own.run(ctx, words[1:])
		}
	}
	cmd, rest, err := find(words)
	switch {
	case err != nil:
		return err
	case slices.Contains(notHere(), cmd.name):
		return usageError{cmd.name + " is not for the console of a box: use the page"}
	case slices.Contains(ownersOnly(), cmd.name) && !s.signed(), !slices.Contains(rescues(), cmd.name) && !s.trusted(ctx):
		return errSignIn()
	case cmd.name == "version":
		return cmd.run(ctx, t, rest)
	}
	return cmd.run(ctx, t, append(rest, "--run", s.dir)) // the last one counts
}

func errSignIn() error {
	return problem.New(problem.Unsigned, "console.signin", "this is for the box's owners: it shows or changes more than rescue needs", "sign in first: sign-in NAME")
}

// trusted reports whether an owner has signed in, or there is none to sign in yet. A page that runs without what the box
// keeps knows no owners either: that is not enough.
func (s *seat) trusted(ctx context.Context) bool {
	if s.signed() {
		return true
	}
	st, err := s.box.admin.Status(ctx)
	return err == nil && !st.SetUp && !st.Alone
}

// signed reports whether an owner has signed in.
func (s *seat) signed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.who != ""
}

// signIn asks for the password of an owner.
func (s *seat) signIn(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return usageError{"sign-in needs NAME"}
	}
	s.keys.set(nil) // Ctrl-C empties the line
	password, err := s.term.ReadPassword("Password: ")
	if err != nil || password == "" {
		return usageError{"nobody signed in"}
	}
	limited, cancel := context.WithTimeout(ctx, signInWithin)
	defer cancel()
	if err := s.box.admin.SignIn(limited, ctl.SignIn{Name: args[0], Password: password}); err != nil {
		return err
	}
	s.signedIn(args[0])
	return nil
}

func (s *seat) signedIn(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle != nil { // another owner was there
		s.idle.Stop()
	}
	s.who = name
	s.idle = time.AfterFunc(idleSeat, func() {
		s.leave()
		s.say("%sSigned out: nobody was here for %v.\n", clearScreen, idleSeat)
		s.term.SetPrompt(s.prompt())
	})
}

// active begins the time anew after which who signed in is taken to have left.
func (s *seat) active() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle != nil {
		s.idle.Reset(idleSeat)
	}
}

// leave signs out.
func (s *seat) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.who, s.all = "", false
	if s.idle != nil {
		s.idle.Stop()
		s.idle = nil
	}
}
