package netd

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/notify"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func TestMain(m *testing.M) {
	if code, entered := netlab.Enter(); entered {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

// supervised runs a netd and returns what its supervisor hears.
func supervised(t *testing.T) (c ctl.Net, hear func(want string), stop func() error) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "notify.sock")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "20000")
	n, err := notify.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	d, err := New(Config{RunDir: filepath.Join(dir, "run"), DataDir: filepath.Join(dir, "data"), Version: "1.2.3", Notify: n, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	c = ctl.NewNet(d.socket)
	t.Cleanup(func() { _, _ = stop(), c.Close() })
	return c, func(want string) {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for buf := make([]byte, 256); ; {
			k, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			if string(buf[:k]) == want {
				return
			}
		}
	}, stop
}

func loopback(links []ctl.Link) bool {
	return slices.ContainsFunc(links, func(l ctl.Link) bool { return l.Loopback && l.Name == "lo" && l.MTU > 0 })
}

func TestNetdAnswersWhenItSaysSo(t *testing.T) {
	c, hear, stop := supervised(t)
	hear("READY=1")
	links, err := c.Links(t.Context())
	if err != nil || !loopback(links) {
		t.Errorf("links %+v, %v", links, err)
	}
	if st, err := c.Status(t.Context()); err != nil || st.Version != "1.2.3" || st.Started.IsZero() {
		t.Errorf("status %+v, %v", st, err)
	}
	hear("WATCHDOG=1")
	enough := errors.New("enough")
	err = c.Events(t.Context(), func(ev ctl.NetEvent) error {
		if !loopback(ev.Links) {
			t.Errorf("the first event is %+v", ev)
		}
		return enough
	})
	if !errors.Is(err, enough) {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := c.Status(t.Context()); err == nil {
		t.Error("it answers after its end")
	}
}

func TestAStopEndsStreams(t *testing.T) {
	c, hear, stop := supervised(t)
	hear("READY=1")
	first := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- c.Events(t.Context(), func(ctl.NetEvent) error { close(first); return nil })
	}()
	<-first
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the stream did not end")
	}
}

// Silence is broken so that a reader can tell a quiet netd from one that hangs.
func TestAStreamWithoutChangesStaysAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		changed := make(chan struct{})
		ticker := time.NewTicker(aliveEvery)
		defer ticker.Stop()
		var got []ctl.NetEvent
		emit := func(v any) error { got = append(got, v.(ctl.NetEvent)); return nil }
		go func() {
			time.Sleep(35 * time.Second)
			close(changed)
		}()
		var d Daemon
		if err := d.untilChanged(ctx, changed, nil, ticker.C, emit); err != nil || len(got) != 3 || !got[0].Alive {
			t.Errorf("got %+v, %v", got, err)
		}
		cancel()
		if err := d.untilChanged(ctx, make(chan struct{}), nil, ticker.C, emit); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestASocketThatCannotBeMadeIsAFault(t *testing.T) {
	t.Parallel()
	d, err := New(Config{RunDir: "/" + strings.Repeat("x", 200), DataDir: t.TempDir(), Notify: &notify.Notifier{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("got %v", err)
	}
}

func TestOffloadIsOffUnlessAskedFor(t *testing.T) {
	c, hear, stop := supervised(t)
	hear("READY=1")
	st, err := c.Status(t.Context())
	if err != nil || st.Offload.Way != OffloadOff || st.Offload.Why == "" {
		t.Errorf("status %+v, %v", st, err)
	}
	if fds, err := c.MediaMaps(t.Context()); !problem.Is(err, problem.Unavailable) || !strings.Contains(err.Error(), st.Offload.Why) {
		t.Errorf("maps %v, %v", fds, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := New(Config{Offload: "xdp"}); !problem.Is(err, problem.Invalid) {
		t.Errorf("a way that is none: %v", err)
	}
}
