// Package ctl is how the daemons talk to each other: HTTP and JSON over unix sockets of mode 0600
// whose peer's uid is checked, with one typed client for each daemon.
package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// Limits of the sockets. The peers are our own programs: the limits only stop a runaway.
const (
	maxBody       = 64 << 20 // an import of 100,000 users is about 10 MB
	headerTimeout = 5 * time.Second
	closeTimeout  = 5 * time.Second
)

// Serve answers h on the unix socket at path until ctx ends, then waits for requests in flight.
func Serve(ctx context.Context, path string, h http.Handler, log *slog.Logger) error {
	s, err := Listen(path)
	if err != nil {
		return err
	}
	return s.Serve(ctx, h, log)
}

// Socket is a daemon's socket. Clients that come before Serve wait for it.
type Socket struct {
	ln   net.Listener
	path string
	made os.FileInfo // the socket, to tell it from a successor's at the same path
}

// maxPath is how long the path of a unix socket may be (unix(7): 108 bytes with the final NUL).
const maxPath = 107

// Listen makes the socket under a temporary name and renames it over a dead daemon's, so that a
// client finds the old one or the new one.
func Listen(path string) (*Socket, error) {
	tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if len(tmp) > maxPath {
		return nil, problem.New(problem.Invalid, "socket.path", fmt.Sprintf("the socket path %s is %d bytes too long", path, len(tmp)-maxPath),
			"choose a folder with a shorter path")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(tmp); err != nil {
		return nil, err
	}
	ln, err := net.Listen("unix", tmp)
	if err != nil {
		return nil, err
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	s := &Socket{ln: ownUserListener{ln}, path: path}
	err = os.Chmod(tmp, 0o600)
	if err == nil {
		s.made, err = os.Lstat(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return nil, errors.Join(err, ln.Close(), os.RemoveAll(tmp))
	}
	return s, nil
}

// Serve answers h until ctx ends, then waits a moment for requests in flight and closes the socket.
func (s *Socket) Serve(ctx context.Context, h http.Handler, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := &http.Server{
		Handler:           bounded(h),
		ReadHeaderTimeout: headerTimeout,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		err := srv.Shutdown(stop)
		if errors.Is(err, context.DeadlineExceeded) { // a connection that was never used counts as busy, too
			err = srv.Close()
		}
		ended <- errors.Join(err, s.remove())
	}()
	err := srv.Serve(s.ln)
	cancel()
	if stopErr := <-ended; errors.Is(err, http.ErrServerClosed) {
		return stopErr
	}
	return fmt.Errorf("serve %s: %w", s.path, err)
}

// bounded bounds the bodies of requests. A recording is as long as its call was; who takes it counts
// its bytes.
func bounded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(RecordingHeader) == "" {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		h.ServeHTTP(w, r)
	})
}

// remove unlinks the socket unless a successor has put its own in place.
func (s *Socket) remove() error {
	there, err := os.Lstat(s.path)
	if err != nil || !os.SameFile(there, s.made) {
		return nil // it is gone already, or not ours
	}
	return os.Remove(s.path)
}

// ownUserListener refuses connections of other users than ours and root.
type ownUserListener struct{ net.Listener }

func (l ownUserListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uid, err := peerUID(c); err == nil && (uid == uint32(os.Getuid()) || uid == 0) {
			return c, nil
		}
		_ = c.Close() // a stranger learns nothing, not even why
	}
}

func peerUID(c net.Conn) (uid uint32, err error) {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return cred.Uid, nil
}

// None is the body of a request or an answer that has none.
type None struct{}

// Handle answers pattern with what do returns, as JSON. The request's body, if any, is read into In.
func Handle[In, Out any](mux *http.ServeMux, pattern string, do func(r *http.Request, in In) (Out, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := readJSON(r, &in); err != nil {
			WriteProblem(w, err)
			return
		}
		out, err := do(r, in)
		if err != nil {
			WriteProblem(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out) // the peer is gone: it asks again
	})
}

func readJSON(r *http.Request, in any) error {
	if _, none := in.(*None); none {
		return nil
	}
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(in); err != nil && !errors.Is(err, io.EOF) {
		return problem.Wrap(err, problem.Invalid, "json", "the body is not the JSON asked for: "+err.Error(), "see the API's description")
	}
	return nil
}

// HTTPStatus returns the status that stands for a kind of problem.
func HTTPStatus(k problem.Kind) int {
	switch k {
	case problem.Invalid:
		return http.StatusUnprocessableEntity
	case problem.Missing:
		return http.StatusNotFound
	case problem.Conflict:
		return http.StatusConflict
	case problem.Denied:
		return http.StatusForbidden
	case problem.Unsigned:
		return http.StatusUnauthorized
	case problem.Full:
		return http.StatusInsufficientStorage
	case problem.Unavailable:
		return http.StatusServiceUnavailable
	case problem.Internal:
	}
	return http.StatusInternalServerError
}

// WriteProblem answers a request with err's public part.
func WriteProblem(w http.ResponseWriter, err error) {
	p := problem.Of(err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(HTTPStatus(p.Kind))
	_ = json.NewEncoder(w).Encode(p) // the peer is gone: nobody is left to tell
}

// Lines are several lines of a stream, which leave together.
type Lines []any

// Stream answers pattern with a line of JSON for each call of emit, or several, until send returns.
func Stream(mux *http.ServeMux, pattern string, send func(r *http.Request, emit func(v any) error) error) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/jsonl")
		rc := http.NewResponseController(w)
		enc := json.NewEncoder(w)
		if err := rc.Flush(); err != nil {
			return
		}
		_ = send(r, func(v any) error { // ends because the peer went away, or with ctx
			lines, several := v.(Lines)
			if !several {
				lines = Lines{v}
			}
			for _, line := range lines {
				if err := enc.Encode(line); err != nil {
					return err
				}
			}
			return rc.Flush()
		})
	})
}

// Client speaks to the daemon behind one socket.
type Client struct {
	name string // of the daemon, for errors
	path string
	http *http.Client
}

// NewClient returns a client of the daemon that serves the socket at path. It connects when used.
func NewClient(name, path string) *Client {
	var d net.Dialer
	return &Client{name: name, path: path, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", path)
		},
		MaxIdleConnsPerHost: 8,
		DisableCompression:  true,
	}}}
}

// Do sends in, if not nil, and reads the answer into out, if not nil. A problem that the daemon
// answers comes back as *problem.Error; a daemon that is away is Unavailable.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("%s: %s %s: answer: %w", c.name, method, path, err)
	}
	_, err = io.Copy(io.Discard, resp.Body) // its end: else the connection could not be used again
	return err
}

// Close closes the connections that are not in use. The client can still be used.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Listen calls each for every line of a stream until ctx ends or the stream does.
func (c *Client) Listen(ctx context.Context, path string, each func(line json.RawMessage) error) error {
	resp, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var line json.RawMessage
		if err := dec.Decode(&line); err != nil {
			return fmt.Errorf("%s: %s: %w", c.name, path, err)
		}
		if err := each(line); err != nil {
			return err
		}
	}
}

func (c *Client) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	body, contentType, err := requestBody(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://unix"+path, body)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return c.ask(req)
}

func (c *Client) ask(req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, c.name+".away", "the part "+c.name+" does not answer",
			"wait a moment: it is restarted by itself")
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		defer resp.Body.Close()
		return nil, readProblem(c.name, resp)
	}
	return resp, nil
}

// requestBody encodes in: a reader goes as it is, anything else as JSON.
func requestBody(in any) (io.Reader, string, error) {
	switch v := in.(type) {
	case nil:
		return nil, "", nil
	case io.Reader:
		return v, "application/octet-stream", nil
	}
	data, err := json.Marshal(in)
	return bytes.NewReader(data), "application/json", err
}

func readProblem(name string, resp *http.Response) error {
	p := new(problem.Error)
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(p); err != nil || p.Code == "" {
		return fmt.Errorf("%s answered %s", name, resp.Status)
	}
	return p
}
