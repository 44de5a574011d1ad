package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// boxBehind is the admind and the init of a console's box.
type boxBehind struct {
	mu       sync.Mutex // guards what follows
	setUp    bool
	alone    bool // the page runs without what the box keeps
	restarts []string
	heard    chan ctl.LogLine
}

func (b *boxBehind) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	ctl.Handle(mux, "GET /v1/status", func(*http.Request, ctl.None) (ctl.AdminStatus, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		st := ctl.AdminStatus{Version: "1.2.3", Page: "https://192.0.2.5", SetUp: b.setUp, Alone: b.alone}
		if !b.setUp {
			st.SetupCode = "abcd-efgh-jkmn"
		}
		return st, nil
	})
	ctl.Handle(mux, "POST /v1/signin", func(_ *http.Request, in ctl.SignIn) (ctl.None, error) {
		if in != (ctl.SignIn{Name: "Owner", Password: "correct horse battery"}) {
			return ctl.None{}, problem.New(problem.Unsigned, "signin.wrong", "name or password is wrong", "try again")
		}
		return ctl.None{}, nil
	})
	ctl.Handle(mux, "POST /v1/restart", func(_ *http.Request, in ctl.RestartRequest) (ctl.None, error) {
		b.restarted("admind", in)
		return ctl.None{}, nil
	})
	return mux
}

func (b *boxBehind) initRoutes() http.Handler {
	mux := http.NewServeMux()
	ctl.Handle(mux, "POST /v1/restart", func(_ *http.Request, in ctl.RestartRequest) (ctl.None, error) {
		b.restarted("init", in)
		return ctl.None{}, nil
	})
	ctl.Stream(mux, "GET /v1/log", func(r *http.Request, emit func(any) error) error {
		if r.URL.Query().Get("follow") != "true" {
			return emit(ctl.Lines{ctl.LogLine{From: "switchd", Text: "a call of alice"}, ctl.LogLine{From: ctl.LogInit, Text: "this version is on trial"}})
		}
		for {
			select {
			case <-r.Context().Done():
				return nil
			case l := <-b.heard:
				if err := emit(l); err != nil {
					return err
				}
			}
		}
	})
	return mux
}

func (b *boxBehind) restarted(by string, in ctl.RestartRequest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.restarts = append(b.restarts, by+" "+map[bool]string{true: "reset", false: "restart"}[in.Reset])
}

func (b *boxBehind) asked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.restarts)
}

// serveAt serves a daemon's socket and returns what ends it.
func serveAt(t *testing.T, path string, h http.Handler) (end func()) {
	t.Helper()
	sock, err := ctl.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sock.Serve(ctx, h, slog.New(slog.DiscardHandler)) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// screen is what a console has shown.
type screen struct {
	t       *testing.T
	out     io.Writer // to its keyboard
	changed chan struct{}

	mu   sync.Mutex // guards what follows
	text strings.Builder
	seen int
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}

// until waits for a text behind what was waited for before, and returns what stands in between.
func (s *screen) until(pattern string) string {
	s.t.Helper()
	re, end := regexp.MustCompile(pattern), time.After(time.Minute)
	for {
		s.mu.Lock()
		rest := s.text.String()[s.seen:]
		at := re.FindStringIndex(rest)
		if at != nil {
			s.seen += at[1]
			s.mu.Unlock()
			return rest[:at[1]]
		}
		s.mu.Unlock()
		select {
		case <-s.changed:
		case <-end:
			s.t.Fatalf("%q is not in %q", pattern, rest)
		}
	}
}

func (s *screen) types(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.out, text); err != nil {
		s.t.Fatal(err)
	}
}

// atSeat starts a console in memory of the box whose sockets are in dir.
func atSeat(t *testing.T, dir string) *screen {
	t.Helper()
	keyboard, typed := io.Pipe()
	scr := &screen{t: t, out: typed, changed: make(chan struct{}, 1)}
	s := newSeat(t.Context(), dir, keyboard, scr)
	ended := make(chan error, 1)
	go func() { ended <- s.run(t.Context()) }()
	t.Cleanup(func() {
		_ = typed.Close() // the terminal goes
		if err := <-ended; err != nil && !strings.Contains(err.Error(), "is gone") {
			t.Error(err)
		}
	})
	return scr
}

func TestStrangersAtTheConsoleMayRescueOnly(t *testing.T) {
	t.Parallel()
	dir, _ := withSwitch(t)
	b := &boxBehind{setUp: true, heard: make(chan ctl.LogLine)}
	t.Cleanup(serveAt(t, filepath.Join(dir, "admin.sock"), b.adminRoutes()))
	t.Cleanup(serveAt(t, filepath.Join(dir, "init.sock"), b.initRoutes()))
	scr := atSeat(t, dir)
	scr.until(`Page: +https://192\.0\.2\.5`)
	scr.types("status\r")
	scr.until(`switchd +answers`)
	for _, line := range []string{"users list", "registrations", "calls", "keys code", "check", "chat keep 1", "update install /x", "net restore 1", "hangup x"} {
		scr.types(line + "\r")
		if got := scr.until("sign in first: sign-in NAME"); strings.Contains(got, "alice") {
			t.Errorf("%s: %q", line, got)
		}
	}
	for _, line := range []string{"dev", "net capture eth0 --out /x", "users import /perm/x", "console"} {
		scr.types(line + "\r")
		scr.until("not for the console")
	}
	scr.types("log\r")
	if got := scr.until("init: this version is on trial"); strings.Contains(got, "a call of alice") {
		t.Errorf("a daemon's line is shown: %q", got)
	}
	scr.types("sh\r")
	scr.until(`there is no command "sh"`)
	scr.types("help\r")
	if got := scr.until("Owners who sign in have more"); strings.Contains(got, "users list") || !strings.Contains(got, "net set-address") {
		t.Errorf("%q", got)
	}
	scr.types("factory-reset\r")
	scr.until("to go on: ")
	scr.types("yes\r")
	scr.until("nothing is erased")
	if got := b.asked(); len(got) != 0 {
		t.Fatalf("%v", got)
	}
	scr.types("factory-reset\r")
	scr.until("to go on: ")
	scr.types(eraseWords + "\r")
	scr.until("The box restarts")
	if got := b.asked(); !slices.Equal(got, []string{"admind reset"}) {
		t.Errorf("%v", got)
	}
}

func TestOwnersAtTheConsole(t *testing.T) {
	t.Parallel()
	dir, _ := withSwitch(t)
	b := &boxBehind{setUp: true, heard: make(chan ctl.LogLine)}
	endAdmin := serveAt(t, filepath.Join(dir, "admin.sock"), b.adminRoutes())
	t.Cleanup(endAdmin)
	t.Cleanup(serveAt(t, filepath.Join(dir, "init.sock"), b.initRoutes()))
	scr := atSeat(t, dir)
	scr.types("sign-in Owner\r")
	scr.until("Password: ")
	scr.types("wrong\r")
	scr.until("name or password is wrong")
	scr.types("sign-in Owner\r")
	scr.until("Password: ")
	scr.types("correct horse battery\r")
	if got := scr.until("Owner@sanchar> "); strings.Contains(got, "battery") {
		t.Errorf("the password is shown: %q", got)
	}
	scr.types("users list\r")
	scr.until("alice +101")
	scr.types("log\r")
	scr.until("switchd: a call of alice")
	scr.types("hangup")
	b.heard <- ctl.LogLine{From: ctl.LogInit, Text: "this version is on trial"}
	b.heard <- ctl.LogLine{From: "switchd", Text: "a secret of bob"}
	got := scr.until("this version is on trial")
	scr.types(" call-ab12\r")
	if got += scr.until("call call-ab12 of alice and 102 is ended"); strings.Contains(got, "secret") {
		t.Errorf("a daemon's line is shown: %q", got)
	}
	scr.types("log follow\r")
	scr.until("Press Enter")
	b.heard <- ctl.LogLine{From: "switchd", Text: "a secret of carol"}
	scr.until("secret of carol")
	scr.types("\rsign-out\rusers list\r")
	scr.until("sign in first")
	endAdmin() // who cannot be asked does not keep the box from being restarted
	scr.types("restart\r")
	scr.until("to go on: ")
	scr.types("yes\r")
	scr.until("The box restarts")
	if got := b.asked(); !slices.Equal(got, []string{"init restart"}) {
		t.Errorf("%v", got)
	}
}

func TestABoxThatIsNotSetUpHasNoSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := &boxBehind{heard: make(chan ctl.LogLine)}
	t.Cleanup(serveAt(t, filepath.Join(dir, "admin.sock"), b.adminRoutes()))
	t.Cleanup(serveAt(t, filepath.Join(dir, "init.sock"), b.initRoutes()))
	scr := atSeat(t, dir)
	scr.until("Set-up code: abcd-efgh-jkmn")
	scr.types("log 5\r")
	scr.until("switchd: a call of alice")
	scr.types("log many\r")
	scr.until("log needs a number of lines")
	scr.types("keys code\r") // it would open what the box is going to keep
	scr.until("sign in first")
	b.mu.Lock()
	b.alone = true
	b.mu.Unlock()
	scr.types("users list\r")
	scr.until("sign in first")
}

func TestCtrlCEndsWhatIsBeingDone(t *testing.T) {
	t.Parallel()
	k := newKeys(t.Context(), io.Discard)
	keyboard, typed := io.Pipe()
	go k.pump(keyboard)
	k.while(t.Context(), func(ctx context.Context) {
		if _, err := typed.Write([]byte{'x', ctrlC}); err != nil {
			t.Error(err)
		}
		<-ctx.Done()
	})
	if _, err := typed.Write([]byte{'y', ctrlC}); err != nil { // while a line is typed: it is emptied
		t.Fatal(err)
	}
	var got []byte
	buf := make([]byte, 16)
	for len(got) < 4 {
		n, err := k.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, buf[:n]...)
	}
	if string(got) != "xy\x15\r" {
		t.Errorf("%q", got)
	}
	_ = typed.Close()
	if _, err := k.Read(buf); err != io.EOF {
		t.Errorf("the terminal is gone: %v", err)
	}
	<-k.gone
}

func TestWhoLeftIsSignedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scr := &screen{t: t, changed: make(chan struct{}, 1)}
		keyboard, typed := io.Pipe()
		s := newSeat(t.Context(), t.TempDir(), keyboard, scr)
		s.signedIn("Owner")
		time.Sleep(idleSeat - time.Second)
		s.active()
		time.Sleep(idleSeat - time.Second)
		if !s.trusted(t.Context()) {
			t.Error("signed out too early")
		}
		time.Sleep(2 * time.Second)
		if s.trusted(t.Context()) || !strings.Contains(scr.text.String(), "Signed out") {
			t.Errorf("%q", scr.text.String())
		}
		_ = typed.Close()
		synctest.Wait()
	})
}

func TestLinesThatComeAgainLeaveRoom(t *testing.T) {
	t.Parallel()
	var b burst
	at := time.Now()
	shown := 0
	for range 100 {
		if _, ok := b.take(at); ok {
			shown++
		}
	}
	if lost, ok := b.take(at.Add(tellWithin)); shown != tellBurst || lost != 100-tellBurst || !ok {
		t.Errorf("%d shown, %d lost, %v", shown, lost, ok)
	}
}
