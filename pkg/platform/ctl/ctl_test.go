package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// daemon serves a mux until the test ends or stop is called.
type daemon struct {
	path  string
	conns atomic.Int64 // accepted
	stop  func() error
}

// counted counts the connections that a listener accepts.
type counted struct {
	net.Listener
	n *atomic.Int64
}

func (c counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return conn, err
}

func serve(t testing.TB, path string, mux *http.ServeMux) *daemon {
	t.Helper()
	d := &daemon{path: path}
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s.ln = counted{s.ln, &d.conns}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, mux, quiet) }()
	d.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := d.stop(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func client(t testing.TB, path string) *Client {
	t.Helper()
	c := NewClient("testd", path)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func socket(t testing.TB) string { return filepath.Join(t.TempDir(), "run", "test.sock") }

type text struct {
	Text string `json:"text"`
}

func TestAnswersAndProblems(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	Handle(mux, "POST /echo", func(_ *http.Request, in text) (text, error) { return in, nil })
	Handle(mux, "GET /none", func(*http.Request, None) (None, error) { return None{}, nil })
	Handle(mux, "GET /fields", func(*http.Request, None) (None, error) {
		return None{}, problem.Fields("user.invalid", []problem.Fault{{Path: "name", Value: "a b", Rule: "no space", Cure: "remove it"}})
	})
	Handle(mux, "GET /internal", func(*http.Request, None) (None, error) { return None{}, errors.New("secret detail") })
	d := serve(t, socket(t), mux)
	c := client(t, d.path)

	var out text
	if err := c.Do(t.Context(), http.MethodPost, "/echo", text{"hello"}, &out); err != nil || out.Text != "hello" {
		t.Errorf("got %q, %v", out, err)
	}
	if err := c.Do(t.Context(), http.MethodGet, "/none", nil, nil); err != nil {
		t.Error(err)
	}
	err := c.Do(t.Context(), http.MethodGet, "/fields", nil, nil)
	if p := problem.Of(err); p.Code != "user.invalid" || len(p.Faults) != 1 || p.Faults[0].Cure != "remove it" {
		t.Errorf("got %v", err)
	}
	err = c.Do(t.Context(), http.MethodGet, "/internal", nil, nil)
	if !problem.Is(err, problem.Internal) || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
	err = c.Do(t.Context(), http.MethodPost, "/echo", map[string]int{"txet": 1}, nil)
	if !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), "txet") {
		t.Errorf("got %v", err)
	}
	if err = c.Do(t.Context(), http.MethodGet, "/nowhere", nil, nil); err == nil || !strings.Contains(err.Error(), "testd answered 404") {
		t.Errorf("got %v", err)
	}
}

func TestEveryKindOfProblemComesBackAsItself(t *testing.T) {
	t.Parallel()
	kinds := []problem.Kind{
		problem.Invalid, problem.Missing, problem.Conflict, problem.Denied, problem.Unsigned, problem.Full, problem.Unavailable, problem.Internal,
	}
	mux := http.NewServeMux()
	Handle(mux, "GET /{kind}", func(r *http.Request, _ None) (None, error) {
		return None{}, problem.New(problem.Kind(r.PathValue("kind")), "a.code", "text", "cure")
	})
	c := client(t, serve(t, socket(t), mux).path)
	seen := map[int]bool{}
	for _, kind := range kinds {
		if err := c.Do(t.Context(), http.MethodGet, "/"+string(kind), nil, nil); !problem.Is(err, kind) {
			t.Errorf("%s: %v", kind, err)
		}
		seen[HTTPStatus(kind)] = true
	}
	if len(seen) != len(kinds) {
		t.Errorf("%d statuses for %d kinds", len(seen), len(kinds))
	}
}

func TestADaemonThatIsAwayIsUnavailableUntilItIsBack(t *testing.T) {
	t.Parallel()
	path := socket(t)
	c := client(t, path)
	ask := func() error { return c.Do(t.Context(), http.MethodGet, "/none", nil, nil) }
	if err := ask(); !problem.Is(err, problem.Unavailable) || problem.Of(err).Code != "testd.away" {
		t.Errorf("got %v", err)
	}
	mux := http.NewServeMux()
	Handle(mux, "GET /none", func(*http.Request, None) (None, error) { return None{}, nil })
	for range 3 {
		d := serve(t, path, mux)
		if err := ask(); err != nil {
			t.Error(err)
		}
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
		if err := ask(); !problem.Is(err, problem.Unavailable) {
			t.Errorf("got %v", err)
		}
	}
}

func TestLargeAnswersUseOneConnection(t *testing.T) {
	t.Parallel()
	large := text{strings.Repeat("x", 1<<20)}
	mux := http.NewServeMux()
	Handle(mux, "GET /large", func(*http.Request, None) (text, error) { return large, nil })
	d := serve(t, socket(t), mux)
	c := client(t, d.path)
	for range 5 {
		var out text
		if err := c.Do(t.Context(), http.MethodGet, "/large", nil, &out); err != nil || out != large {
			t.Fatal(err)
		}
	}
	if n := d.conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestAStream(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	begun := make(chan struct{}, 2)
	Stream(mux, "GET /events", func(r *http.Request, emit func(any) error) error {
		for _, word := range []string{"one", "two"} {
			if err := emit(text{word}); err != nil {
				return err
			}
		}
		begun <- struct{}{}
		<-r.Context().Done()
		return nil
	})
	d := serve(t, socket(t), mux)
	c := client(t, d.path)
	read := func(ctx context.Context, each func(string) error) error {
		return c.Listen(ctx, "/events", func(line json.RawMessage) error {
			var got text
			if err := json.Unmarshal(line, &got); err != nil {
				return err
			}
			return each(got.Text)
		})
	}

	var got []string
	enough := errors.New("enough")
	err := read(t.Context(), func(word string) error {
		if got = append(got, word); len(got) == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || strings.Join(got, " ") != "one two" {
		t.Errorf("got %q, %v", got, err)
	}
	<-begun

	ended := make(chan error, 1)
	go func() { ended <- read(t.Context(), func(string) error { return nil }) }()
	<-begun
	if err := d.stop(); err != nil { // streams do not hold up the daemon's end
		t.Errorf("stop: %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the reader did not hear of the end")
	}
}

func TestAnEndWaitsForRequestsInFlight(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	inside, leave := make(chan struct{}), make(chan struct{})
	Handle(mux, "GET /slow", func(*http.Request, None) (text, error) {
		close(inside)
		<-leave
		return text{"done"}, nil
	})
	d := serve(t, socket(t), mux)
	c := client(t, d.path)
	var out text
	answered := make(chan error, 1)
	go func() { answered <- c.Do(t.Context(), http.MethodGet, "/slow", nil, &out) }()
	<-inside
	stopped := make(chan error, 1)
	go func() { stopped <- d.stop() }()
	select {
	case err := <-stopped:
		t.Fatalf("ended with a request in flight: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(leave)
	if err := <-answered; err != nil || out.Text != "done" {
		t.Errorf("got %q, %v", out, err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestASocketReplacesADeadOneAndASuccessorsStays(t *testing.T) {
	t.Parallel()
	path := socket(t)
	mux := http.NewServeMux()
	Handle(mux, "GET /none", func(*http.Request, None) (None, error) { return None{}, nil })
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil { // what a crash leaves
		t.Fatal(err)
	}
	old := serve(t, path, mux)
	serve(t, path, mux)
	if err := old.stop(); err != nil {
		t.Fatal(err)
	}
	if err := client(t, path).Do(t.Context(), http.MethodGet, "/none", nil, nil); err != nil {
		t.Errorf("the old daemon took its successor's socket away: %v", err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAPathThatIsTooLongSaysSo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), strings.Repeat("d", maxPath), "x.sock")
	_, err := Listen(path)
	if p := problem.Of(err); p.Code != "socket.path" || p.Cure == "" {
		t.Errorf("got %v", err)
	}
}

func TestABodyThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /csv", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			WriteProblem(w, problem.Wrap(err, problem.Full, "body", "too large", "split it"))
		}
	})
	c := client(t, serve(t, socket(t), mux).path)
	if err := c.Do(t.Context(), http.MethodPost, "/csv", io.LimitReader(zeros{}, maxBody), nil); err != nil {
		t.Errorf("the largest body: %v", err)
	}
	if err := c.Do(t.Context(), http.MethodPost, "/csv", io.LimitReader(zeros{}, maxBody+1), nil); err == nil {
		t.Error("one byte more is taken")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Another user who gets past the modes of folder and socket is still not served.
func TestAnotherUserIsNotServed(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, to be another user")
	}
	mux := http.NewServeMux()
	Handle(mux, "GET /none", func(*http.Request, None) (None, error) { return None{}, nil })
	path := filepath.Join(t.TempDir(), "test.sock")
	serve(t, path, mux)
	for dir := filepath.Dir(path); dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	for uid, served := range map[int]bool{0: true, 65534: false} {
		answer, err := askAs(uid, path, "GET /none HTTP/1.0\r\n\r\n")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.HasPrefix(answer, "HTTP/1.0 200"); got != served || !served && answer != "" {
			t.Errorf("uid %d: answer %q", uid, answer)
		}
	}
}

// askAs sends a request as another user. Only the calling thread changes its user.
func askAs(uid int, path, request string) (answer string, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const keep = ^uintptr(0)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 {
		return "", errno
	}
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, 0, keep); errno != 0 {
		return "", errno
	}
	if err != nil {
		return "", err
	}
	_, _ = unix.Write(fd, []byte(request)) // fails if it was closed already
	buf := make([]byte, 4096)
	n, err := unix.Read(fd, buf)
	if errors.Is(err, unix.ECONNRESET) {
		return "", nil
	}
	return string(buf[:max(n, 0)]), err
}

// A client's pool may hold a connection that never carried a request. A stop does not fail for it.
func TestAConnectionWithoutARequestDoesNotSpoilTheStop(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, http.NewServeMux(), slog.New(slog.DiscardHandler)) }()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := NewClient("x", path).send(t.Context(), http.MethodGet, "/", nil); err == nil {
		t.Fatal("an empty mux answers")
	} // the server has accepted both
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
