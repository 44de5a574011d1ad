package ctl

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// served answers mux on a socket until the test ends.
func served(t *testing.T, mux *http.ServeMux) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	sock, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sock.Serve(ctx, mux, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return NewClient("test", path)
}

func TestDescriptorsComeWithAnAnswer(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	HandleFDs(mux, "GET /v1/fds", func(give func(any, []int) error) error {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer r.Close()
		defer w.Close()
		return give(map[string]string{"name": "pipe"}, []int{int(r.Fd()), int(w.Fd())})
	})
	HandleFDs(mux, "GET /v1/none", func(func(any, []int) error) error {
		return problem.New(problem.Unavailable, "test.none", "there are none", "ask later")
	})
	HandleFDs(mux, "GET /v1/many", func(give func(any, []int) error) error { return give(nil, make([]int, maxAnswerFDs+1)) })
	c := served(t, mux)
	var out map[string]string
	fds, err := c.FetchFDs(t.Context(), "/v1/fds", &out)
	if err != nil || len(fds) != 2 || out["name"] != "pipe" {
		t.Fatalf("got %v, %v, %v", fds, out, err)
	}
	r, w := os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w")
	if flags, err := unix.FcntlInt(r.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("a program that we start would have it: %v, %v", flags, err)
	}
	if _, err := w.WriteString("through"); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	if got, err := io.ReadAll(r); string(got) != "through" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	_ = r.Close()
	if _, err := c.FetchFDs(t.Context(), "/v1/none", &out); !problem.Is(err, problem.Unavailable) {
		t.Errorf("a problem came as %v", err)
	}
	if fds, err := c.FetchFDs(t.Context(), "/v1/many", &out); err == nil {
		t.Errorf("too many came as %v", fds)
	}
	if _, err := c.FetchFDs(t.Context(), "/v1/unknown", &out); err == nil {
		t.Error("a path that is none was answered")
	}
	if _, err := NewClient("test", c.path+"x").FetchFDs(t.Context(), "/", &out); !problem.Is(err, problem.Unavailable) {
		t.Errorf("nobody there: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.FetchFDs(ended, "/v1/fds", &out); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
}
