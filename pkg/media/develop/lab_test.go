package develop

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab has one film that is good, one that holds nothing and one of another box.
func lab(t *testing.T, add func(id string, write func(File) (ctl.RecordingHead, error)) error) (*Lab, string) {
	t.Helper()
	dir := t.TempDir()
	put := func(id string, s *scene) {
		if err := os.MkdirAll(filepath.Join(dir, id), 0o700); err != nil {
			t.Fatal(err)
		}
		if s != nil {
			s.cut()
			if err := os.Rename(s.parts[0], filepath.Join(dir, id, "000.reel")); err != nil {
				t.Fatal(err)
			}
		}
	}
	good, foreign := newScene(t, FormatWAV), newScene(t, FormatWAV)
	good.begin(0, pcmu)
	good.say(0, time.Second, newTalker(t, pcmu, 600))
	foreign.begin(0, pcmu)
	put("good", good)
	put("empty", nil)
	put("foreign", foreign)
	return NewLab(LabConfig{
		Dir: dir, Key: good.key, Owner: func(string) []byte { return owner }, Add: add,
		Has: func(string) bool { return false }, Log: slog.New(slog.DiscardHandler),
	}), dir
}

func TestTheLabDevelopsWhatItCan(t *testing.T) {
	t.Parallel()
	added := map[string]int{}
	l, dir := lab(t, func(id string, write func(File) (ctl.RecordingHead, error)) error {
		var b memory
		_, err := write(&b)
		if err == nil {
			added[id] = len(b)
		}
		return err
	})
	if err := l.developAll(t.Context()); !errors.Is(err, errUnreadable) {
		t.Errorf("told %v", err)
	}
	if len(added) != 1 || added["good"] < 15000 {
		t.Errorf("made %v", added)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "foreign" {
		t.Errorf("left %v, %v", left, err)
	}
	if waiting, failing := l.Stats(); waiting == 0 || failing == nil {
		t.Errorf("%d wait, %v", waiting, failing)
	}
}

func TestAFilmStaysUntilItsFileIsKept(t *testing.T) {
	t.Parallel()
	full := errors.New("no room")
	tried := make(chan struct{}, 10)
	l, dir := lab(t, func(string, func(File) (ctl.RecordingHead, error)) error {
		tried <- struct{}{}
		return full
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	<-tried
	l.Wake()
	<-tried
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("%d are left, %v", len(left), err)
	}
}
