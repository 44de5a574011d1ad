package courier

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/develop"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// archive takes files, unless it is away.
type archive struct {
	mu    sync.Mutex
	files map[string]ctl.RecordingHead
	tries int
	err   error
}

func (a *archive) put(_ context.Context, file ctl.RecordingHead, body io.Reader) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tries++
	if a.err != nil {
		return a.err
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	if int64(len(content)) != file.Size || !bytes.Equal(sum[:], file.SHA256) {
		return errors.New("not the file that was promised")
	}
	if a.files == nil {
		a.files = map[string]ctl.RecordingHead{}
	}
	a.files[file.ID] = file
	return nil
}

func open(t *testing.T, dir string, a *archive) *Courier {
	t.Helper()
	key, err := seal.Load(filepath.Join(dir, "key"), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{Dir: filepath.Join(dir, "ready"), Key: key, Put: a.put, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sound writes a file of a few blocks.
func sound(name string) func(develop.File) (ctl.RecordingHead, error) {
	return func(w develop.File) (ctl.RecordingHead, error) {
		for range 5000 {
			if _, err := io.WriteString(w, "sound of "+name+", sound of "+name); err != nil {
				return ctl.RecordingHead{}, err
			}
		}
		return ctl.RecordingHead{ContentType: "audio/ogg", About: map[string]string{"call": name}}, nil
	}
}

func add(t *testing.T, c *Courier, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := c.Add(id, sound(id)); err != nil {
			t.Fatal(err)
		}
	}
}

func left(t *testing.T, c *Courier) int {
	t.Helper()
	entries, err := os.ReadDir(c.cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestFilesArriveWhenTheArchiveIsBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		away := problem.New(problem.Unavailable, "admind.away", "away", "")
		a := &archive{err: away}
		c := open(t, dir, a)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		synctest.Wait()
		add(t, c, "one", "two")
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if st := c.Stats(); st.Waiting != 2 || !errors.Is(st.Failing, away) || st.Since.IsZero() {
			t.Errorf("while it is away: %+v", st)
		}
		a.mu.Lock()
		if a.tries > 24*60+20 {
			t.Errorf("%d attempts in a day", a.tries)
		}
		a.err = nil
		a.mu.Unlock()
		time.Sleep(longPause)
		synctest.Wait()
		if st := c.Stats(); st.Waiting != 0 || st.Failing != nil || left(t, c) != 0 {
			t.Errorf("when it is back: %+v, %d files are left", st, left(t, c))
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if got := a.files["two"]; got.ContentType != "audio/ogg" || got.About["call"] != "two" || len(a.files) != 2 {
			t.Errorf("arrived: %+v", a.files)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A file that the archive does not take holds up no other, and stays.
func TestARefusedFileHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	a := &archive{}
	c := open(t, t.TempDir(), a)
	add(t, c, "bad", "good")
	c.cfg.Put = func(ctx context.Context, f ctl.RecordingHead, body io.Reader) error {
		if f.ID == "bad" {
			return problem.New(problem.Invalid, "recording.about", "refused", "")
		}
		return a.put(ctx, f, body)
	}
	if err := c.carryAll(t.Context()); !problem.Is(err, problem.Invalid) {
		t.Errorf("told %v", err)
	}
	if !c.Has("bad") || c.Has("good") || len(a.files) != 1 || c.Stats().Waiting != 1 {
		t.Errorf("arrived %+v, %+v", a.files, c.Stats())
	}
}

// Whatever a crash leaves, a file is sent whole or made again.
func TestWhatACrashLeaves(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := &archive{}
	c := open(t, dir, a)
	add(t, c, "whole", "delivered")
	if err := os.Remove(c.path("delivered", fileSuffix)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.path("torn", fileSuffix), []byte("half of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	c = open(t, dir, a)
	if c.Has("torn") || !c.Has("whole") {
		t.Error("it has what it should not, or not what it should")
	}
	if err := c.carryAll(t.Context()); err != nil {
		t.Error(err)
	}
	if len(a.files) != 1 || left(t, c) != 0 {
		t.Errorf("arrived %+v, %d files are left", a.files, left(t, c))
	}
}

func TestAFileThatCannotBeMadeLeavesNothing(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir(), &archive{})
	fault := errors.New("no sound in it")
	if err := c.Add("one", func(develop.File) (ctl.RecordingHead, error) { return ctl.RecordingHead{}, fault }); !errors.Is(err, fault) {
		t.Errorf("got %v", err)
	}
	if left(t, c) != 0 {
		t.Error("something is left")
	}
}

func TestNothingLiesOpenOnTheDisk(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir(), &archive{})
	add(t, c, "one")
	for _, suffix := range []string{fileSuffix, aboutSuffix} {
		b, err := os.ReadFile(c.path("one", suffix))
		if err != nil || bytes.Contains(b, []byte("one")) {
			t.Errorf("%s: %v, or its content can be read", suffix, err)
		}
	}
}

// A real socket: the body is longer than other requests may be, and arrives as it was.
func TestOverTheSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := &archive{}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/recordings/{id}", func(w http.ResponseWriter, r *http.Request) {
		file, err := ctl.ReadRecordingHead(r)
		if err == nil {
			err = a.put(r.Context(), file, r.Body)
		}
		if err != nil {
			ctl.WriteProblem(w, err)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	socket := filepath.Join(dir, "admin.sock")
	s, err := ctl.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, mux, slog.New(slog.DiscardHandler)) }()
	admin := ctl.NewAdmin(socket)
	c := open(t, dir, a)
	c.cfg.Put = admin.StoreRecording
	const long = 65 << 20
	if err := c.Add("one", func(w develop.File) (ctl.RecordingHead, error) {
		_, err := io.CopyN(w, strings.NewReader(strings.Repeat("speech", long/6+1)), long)
		return ctl.RecordingHead{ContentType: "audio/wav", About: map[string]string{"name": "नमस्ते"}}, err
	}); err != nil {
		t.Fatal(err)
	}
	if err := c.carryAll(ctx); err != nil {
		t.Error(err)
	}
	a.mu.Lock()
	got := a.files["one"]
	a.mu.Unlock()
	if got.Size != long || got.About["name"] != "नमस्ते" {
		t.Errorf("arrived %+v", got)
	}
	bad := ctl.RecordingHead{ID: "two", Size: 5}
	if err := admin.StoreRecording(ctx, bad, strings.NewReader("sound")); err == nil || !strings.Contains(fmt.Sprint(err), "internal") {
		t.Errorf("a wrong sum: %v", err)
	}
	cancel()
	_ = admin.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What is written over a file arrives so, and its sum is of that.
func TestPatches(t *testing.T) {
	t.Parallel()
	a := &archive{}
	c := open(t, t.TempDir(), a)
	want := bytes.Repeat([]byte("sound"), 50000)
	var got []byte
	c.cfg.Put = func(ctx context.Context, head ctl.RecordingHead, body io.Reader) error {
		var err error
		if got, err = io.ReadAll(body); err != nil {
			return err
		}
		return a.put(ctx, head, bytes.NewReader(got))
	}
	if err := c.Add("one", func(w develop.File) (ctl.RecordingHead, error) {
		if _, err := w.Write(want); err != nil {
			return ctl.RecordingHead{}, err
		}
		for _, at := range []int64{200000, 0, fileBlock - 3, 2 * fileBlock, int64(len(want)) - 6} {
			if _, err := w.WriteAt([]byte("silent"), at); err != nil {
				return ctl.RecordingHead{}, err
			}
			copy(want[at:], "silent")
		}
		if _, err := w.WriteAt([]byte("silent"), int64(len(want))-5); err == nil {
			t.Error("written over the end")
		}
		return ctl.RecordingHead{}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := c.carryAll(t.Context()); err != nil || !bytes.Equal(got, want) || len(a.files) != 1 {
		t.Errorf("%d bytes arrived, as they should: %v; %v", len(got), bytes.Equal(got, want), err)
	}
}
