package ctl

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/pack"
	"github.com/coraltele/sanchar/pkg/base/problem"
)

// word is a body of one text.
type word string

func (t word) Pack(w *pack.Writer)    { w.String(string(t)) }
func (t *word) Unpack(r *pack.Reader) { *t = word(r.String()) }

// raw is a body as it is.
type raw []byte

func (b raw) Pack(w *pack.Writer) { w.B = append(w.B, b...) }

func echo(verb uint8, body []byte) (Packer, error) {
	switch verb {
	case 1:
		return raw(body), nil
	case 2:
		return nil, problem.New(problem.Missing, "session.unknown", "no such session", "open it first")
	case 3:
		return word(strings.Repeat("x", maxPipeBody)), nil
	}
	return nil, errors.New("secret detail")
}

func servePipes(t testing.TB, path string) *daemon {
	mux := http.NewServeMux()
	HandlePipe(mux, "POST /v1/pipe", echo)
	return serve(t, path, mux)
}

func pipe(t testing.TB, path string) *Pipe {
	p := NewPipe("testd", path, "/v1/pipe")
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func TestAPipeAnswersEachItsOwn(t *testing.T) {
	t.Parallel()
	d := servePipes(t, socket(t))
	p := pipe(t, d.path)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				want, got := word(fmt.Sprintf("%d/%d", g, i)), word("")
				if err := p.Call(t.Context(), 1, want, &got); err != nil || got != want {
					t.Errorf("got %q, %v; want %q", got, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := d.conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestProblemsOfAPipe(t *testing.T) {
	t.Parallel()
	p := pipe(t, servePipes(t, socket(t)).path)
	if err := p.Call(t.Context(), 2, word("x"), nil); problem.Of(err).Code != "session.unknown" || problem.Of(err).Cure == "" {
		t.Errorf("got %v", err)
	}
	if err := p.Call(t.Context(), 9, word("x"), nil); !problem.Is(err, problem.Internal) || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
	var out word
	if err := p.Call(t.Context(), 1, word("right"), nil); err != nil {
		t.Errorf("an answer that is not wanted: %v", err)
	}
	if err := p.Call(t.Context(), 1, nil, &out); err == nil {
		t.Error("a text was read where there is none")
	}
	if err := p.Call(t.Context(), 1, raw("\x01xy"), &out); err == nil {
		t.Error("more was sent than a text")
	}
}

// One that is too large must not end the connection that others use.
func TestAFrameThatIsTooLargeHurtsNobodyElse(t *testing.T) {
	t.Parallel()
	d := servePipes(t, socket(t))
	p := pipe(t, d.path)
	if err := p.Call(t.Context(), 1, word(strings.Repeat("x", maxPipeBody)), nil); err == nil {
		t.Error("a request that is too large was sent")
	}
	if err := p.Call(t.Context(), 3, word("x"), nil); !problem.Is(err, problem.Internal) {
		t.Errorf("an answer that is too large: %v", err)
	}
	var out word
	if err := p.Call(t.Context(), 1, word("right"), &out); err != nil || out != "right" || d.conns.Load() != 1 {
		t.Errorf("got %q, %v on connection %d", out, err, d.conns.Load())
	}
}

func TestAPipeComesBackWithItsDaemon(t *testing.T) {
	t.Parallel()
	path := socket(t)
	p := pipe(t, path)
	for range 3 {
		if err := p.Call(t.Context(), 1, word("x"), nil); !problem.Is(err, problem.Unavailable) {
			t.Errorf("got %v", err)
		}
		d := servePipes(t, path)
		if err := p.Call(t.Context(), 1, word("x"), nil); err != nil {
			t.Error(err)
		}
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// A daemon that crashed is back within milliseconds: a request made meanwhile is for its successor.
// One that stays away keeps nobody waiting for long, and nobody who comes later.
func TestARequestWaitsForADaemonThatIsStartedAgain(t *testing.T) {
	t.Parallel()
	path := socket(t)
	p := pipe(t, path)
	d := servePipes(t, path)
	if err := p.Call(t.Context(), 1, word("x"), nil); err != nil {
		t.Fatal(err)
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	p.awaitLoss()
	answered := make(chan error, 1)
	go func() { answered <- p.Call(t.Context(), 1, word("x"), nil) }()
	time.Sleep(restartTime / 5) // of a restart
	d = servePipes(t, path)
	if err := <-answered; err != nil {
		t.Errorf("while it was started again: %v", err)
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	p.awaitLoss()
	time.Sleep(restartTime)
	began := time.Now()
	for range 100 {
		if err := p.Call(t.Context(), 1, word("x"), nil); !problem.Is(err, problem.Unavailable) {
			t.Errorf("got %v", err)
		}
	}
	if took := time.Since(began); took > restartTime*10 { // a hundredth of what waiting each would take
		t.Errorf("%s for requests to a daemon that stays away", took)
	}
}

// awaitLoss returns when the pipe knows that its connection has ended.
func (p *Pipe) awaitLoss() {
	for lost := false; !lost; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		lost = p.conn == nil
		p.mu.Unlock()
	}
}

// hang accepts connections and answers what it is told, then nothing.
func hang(t *testing.T, say string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "hang.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			_, _ = conn.Write([]byte(say))
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return path
}

const upgraded = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + pipeProtocol + "\r\n\r\n"

func TestADaemonThatHangsHoldsNobodyLongerThanAsked(t *testing.T) {
	t.Parallel()
	for name, say := range map[string]string{"before the upgrade": "", "after it": upgraded} {
		p := pipe(t, hang(t, say))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer cancel()
				if err := p.Call(ctx, 1, word("x"), nil); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		wg.Wait()
		p.mu.Lock()
		if len(p.calls) != 0 {
			t.Errorf("%s: %d calls are still waited for", name, len(p.calls))
		}
		p.mu.Unlock()
	}
}

// waiting makes one call that is not answered, and returns when it is on its way.
func waiting(ctx context.Context, p *Pipe) (ended chan error) {
	ended = make(chan error, 1)
	go func() { ended <- p.Call(ctx, 1, word("x"), nil) }()
	for calls := 0; calls == 0; runtime.Gosched() {
		p.mu.Lock()
		calls = len(p.calls)
		p.mu.Unlock()
	}
	return ended
}

func TestWhatWaitsForADaemonThatHangsIsBounded(t *testing.T) {
	t.Parallel()
	p := pipe(t, hang(t, upgraded))
	ctx, cancel := context.WithCancel(t.Context())
	ended := waiting(ctx, p)
	cancel() // from here on each call is queued and given up
	<-ended
	big := word(strings.Repeat("x", maxPipeBody/2))
	refused := 0
	for range 200 {
		err := p.Call(ctx, 1, big, nil)
		if err == nil {
			t.Fatal("answered")
		}
		if strings.Contains(err.Error(), "too many") {
			refused++
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.out) > maxPipeQueue+maxPipeBody || refused == 0 {
		t.Errorf("%d bytes wait, %d refused", len(p.out), refused)
	}
}

func TestCloseEndsWaitingCalls(t *testing.T) {
	t.Parallel()
	p := pipe(t, hang(t, upgraded))
	ended := waiting(t.Context(), p)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestAServerThatIsNoPipe(t *testing.T) {
	t.Parallel()
	p := pipe(t, serve(t, socket(t), http.NewServeMux()).path)
	if err := p.Call(t.Context(), 1, word("x"), nil); err == nil || !strings.Contains(err.Error(), "testd answered 404") {
		t.Errorf("got %v", err)
	}
}

// Both ends are of one release, or one says that they are not.
func TestAPipeOfAnotherReleaseIsRefused(t *testing.T) {
	t.Parallel()
	const other = "sanchar-pipe/1"
	p := pipe(t, hang(t, strings.Replace(upgraded, pipeProtocol, other, 1)))
	if err := p.Call(t.Context(), 1, word("x"), nil); err == nil || !strings.Contains(err.Error(), "speaks "+other) {
		t.Errorf("the client: %v", err)
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/pipe", nil)
	r.Header.Set("Upgrade", other)
	w := httptest.NewRecorder()
	mux := http.NewServeMux()
	HandlePipe(mux, "POST /v1/pipe", echo)
	mux.ServeHTTP(w, r)
	if w.Code != http.StatusUpgradeRequired || w.Header().Get("Upgrade") != pipeProtocol {
		t.Errorf("the server: %d, %v", w.Code, w.Header())
	}
}

// FuzzServePipe: whatever comes, each whole frame gets one whole answer with its id.
func FuzzServePipe(f *testing.F) {
	frame := func(id uint64, verb uint8, body string) []byte {
		b := binary.LittleEndian.AppendUint32(nil, uint32(pipeHead-4+len(body)))
		return append(append(binary.LittleEndian.AppendUint64(b, id), verb), body...)
	}
	f.Add(frame(7, 1, "\x01x"))
	f.Add(append(frame(1, 2, ""), frame(2, 1, "\xff")...))
	f.Add([]byte{1, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		var asked []uint64
		for r := bufio.NewReader(bytes.NewReader(data)); ; {
			id, _, _, err := readFrame(r, nil)
			if err != nil {
				break
			}
			asked = append(asked, id)
		}
		var out bytes.Buffer
		servePipe(&out, bytes.NewReader(data), func(verb uint8, body []byte) (Packer, error) {
			if verb != 1 {
				return echo(2, nil)
			}
			return raw(body), nil
		})
		r := bufio.NewReader(&out)
		for i, want := range asked {
			id, code, body, err := readFrame(r, nil)
			if err != nil || id != want || code > answerProblem || (code == answerProblem && !json.Valid(body)) {
				t.Fatalf("answer %d of %d: id %d, want %d; code %d, body %q, %v", i, len(asked), id, want, code, body, err)
			}
		}
		if r.Buffered() != 0 {
			t.Fatalf("%d bytes more", r.Buffered())
		}
	})
}

func BenchmarkCall(b *testing.B) {
	path := socket(b)
	mux := http.NewServeMux()
	HandlePipe(mux, "POST /v1/pipe", echo)
	Handle(mux, "POST /echo", func(_ *http.Request, in string) (string, error) { return in, nil })
	serve(b, path, mux)
	in := strings.Repeat("x", 500)
	b.Run("pipe", func(b *testing.B) {
		p := pipe(b, path)
		b.ReportAllocs()
		for b.Loop() {
			var out word
			if err := p.Call(b.Context(), 1, word(in), &out); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("http", func(b *testing.B) {
		c := client(b, path)
		b.ReportAllocs()
		for b.Loop() {
			var out string
			if err := c.Do(b.Context(), http.MethodPost, "/echo", in, &out); err != nil {
				b.Fatal(err)
			}
		}
	})
}
