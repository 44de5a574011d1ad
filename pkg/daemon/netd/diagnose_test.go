package netd

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/notify"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func faults(err error) string {
	var paths []string
	for _, f := range problem.Of(err).Faults {
		paths = append(paths, f.Path)
	}
	return strings.Join(paths, " ")
}

// alone runs a netd without a supervisor, and waits until it answers.
func alone(t *testing.T) ctl.Net {
	t.Helper()
	if err := netlab.RaiseLoopback(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	d, err := New(Config{RunDir: filepath.Join(dir, "run"), DataDir: dir, Notify: &notify.Notifier{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	c := ctl.NewNet(d.socket)
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, c.Close()); err != nil {
			t.Error(err)
		}
	})
	enough := errors.New("enough")
	for err := error(nil); !errors.Is(err, enough); { // the first event has links
		err = c.Events(t.Context(), func(ctl.NetEvent) error { return enough })
	}
	return c
}

func TestWhatFindsFaultsIsAsked(t *testing.T) {
	c := alone(t)
	if d, err := c.Detail(t.Context()); err != nil || len(d.Links) == 0 {
		t.Errorf("%+v, %v", d, err)
	}
	if s, err := c.Services(t.Context()); err != nil || len(s.Services) != 0 {
		t.Errorf("services without a document: %+v, %v", s, err)
	}
	if l, err := c.Leases(t.Context()); err != nil || len(l.Leases) != 0 {
		t.Errorf("%+v, %v", l, err)
	}
	if n, err := c.LLDPNeighbours(t.Context()); err != nil || len(n) != 0 {
		t.Errorf("%+v, %v", n, err)
	}
	if _, err := c.Ping(t.Context(), ctl.PingRequest{Link: "nope", Count: 99, Size: 1 << 20}); faults(err) != "link count size host" {
		t.Errorf("got %v", err)
	}
	if _, err := c.Diagnose(t.Context(), ctl.DiagRequest{Trunk: "a b"}); faults(err) != "trunk" {
		t.Errorf("got %v", err)
	}
	bad := ctl.CaptureRequest{Link: "nope", Filter: "port x", Seconds: 1e6}
	if err := c.CheckCapture(t.Context(), bad); faults(err) != "link seconds filter" {
		t.Errorf("got %v", err)
	}
	var out bytes.Buffer
	if err := c.Capture(t.Context(), bad, &out); faults(err) != "link seconds filter" || out.Len() != 0 {
		t.Errorf("got %v", err)
	}
	if all, err := c.Ping(t.Context(), ctl.PingRequest{Host: "127.0.0.1", Count: 1}); err == nil && (len(all) != 1 || all[0].Fault != "") {
		t.Errorf("%+v", all)
	} else if err != nil && problem.Of(err).Code != "net.raw" {
		t.Error(err)
	}
}

// first tells when something was written.
type first struct {
	once  sync.Once
	begun chan struct{}
}

func (f *first) Write(b []byte) (int, error) {
	f.once.Do(func() { close(f.begun) })
	return len(b), nil
}

func TestACaptureIsStreamedAndFewAreMadeAtOnce(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("captures need root")
	}
	c := alone(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, maxCaptures)
	for range maxCaptures {
		out := &first{begun: make(chan struct{})}
		go func() { ended <- c.Capture(ctx, ctl.CaptureRequest{Link: "lo", Filter: "udp and dst port 9"}, out) }()
		select {
		case <-out.begun:
		case err := <-ended:
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := c.Capture(t.Context(), ctl.CaptureRequest{Link: "lo"}, &out); problem.Of(err).Code != "capture.busy" {
		t.Errorf("one more: %v", err)
	}
	cancel()
	for range maxCaptures {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		conn, err := net.Dial("udp", "127.0.0.1:9")
		if err != nil {
			return
		}
		defer conn.Close()
		for range 100 {
			_, _ = conn.Write([]byte("here"))
			time.Sleep(20 * time.Millisecond)
		}
	}()
	for try := 0; try < 50; try++ { // until those that ended are gone
		out.Reset()
		err := c.Capture(t.Context(), ctl.CaptureRequest{Link: "lo", Filter: "udp and dst port 9", Packets: 2}, &out)
		if problem.Of(err).Code != "capture.busy" {
			if err != nil || bytes.Count(out.Bytes(), []byte("here")) != 2 {
				t.Errorf("%d bytes, %v", out.Len(), err)
			}
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	<-sent
}
