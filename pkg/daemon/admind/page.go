package admind

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coraltele/sanchar/pkg/archive/exchange"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/console/api"
	"github.com/coraltele/sanchar/pkg/console/provision"
	"github.com/coraltele/sanchar/pkg/console/web"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/notify"
)

// Limits of the page. A stranger may hold little, and not for long.
const (
	headerTimeout = 10 * time.Second // also of the TLS handshake
	bodyTimeout   = 30 * time.Second // an operation may allow itself another time
	writeTimeout  = 60 * time.Second // downloads and events set their own for each write
	idleTimeout   = 60 * time.Second
	stopTimeout   = 5 * time.Second
	maxHeader     = 16 << 10
	maxBody       = 32 << 20 // an import; operations have smaller bounds
	maxStreams    = 64       // of one HTTP/2 connection
	maxConns      = 256      // in all
	maxConnsEach  = 48       // from one address: a few browsers with their events
)

// socketName is what the supervisor knows the page's socket by.
const socketName = "https"

// listen opens the page's socket, or takes it back from the supervisor: connections that wait on
// it outlive us.
func (d *Daemon) listen() (net.Listener, error) {
	ln, err := d.taken()
	if err != nil {
		d.cfg.Log.Warn("the page's socket was not taken back", "err", err)
	}
	if ln == nil {
		addr := net.JoinHostPort(d.cfg.Bind, strconv.Itoa(int(d.cfg.Port)))
		if ln, err = net.Listen("tcp", addr); err != nil {
			return nil, fmt.Errorf("page: %w", err)
		}
		if err := d.leave(ln); err != nil {
			d.cfg.Log.Warn("the supervisor does not keep the page's socket", "err", err)
		}
	}
	d.mu.Lock()
	d.port = uint16(ln.Addr().(*net.TCPAddr).Port)
	d.mu.Unlock()
	return ln, nil
}

// taken returns the socket that the supervisor kept, nil when there is none or it is for another
// address than we are to serve now.
func (d *Daemon) taken() (found net.Listener, err error) {
	for _, fd := range d.cfg.Taken[socketName] {
		f := os.NewFile(uintptr(fd), socketName)
		ln, lnErr := net.FileListener(f) // a copy of its own
		err = errors.Join(err, lnErr, f.Close())
		switch {
		case lnErr != nil:
		case found == nil && d.serves(ln.Addr()):
			found = ln
		default:
			err = errors.Join(err, ln.Close())
		}
	}
	if found == nil && len(d.cfg.Taken[socketName]) > 0 {
		err = errors.Join(err, d.cfg.Notify.Forget(socketName))
	}
	return found, err
}

func (d *Daemon) serves(addr net.Addr) bool {
	a, ok := addr.(*net.TCPAddr)
	if !ok || (d.cfg.Port != 0 && a.Port != int(d.cfg.Port)) {
		return false
	}
	want, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(d.cfg.Bind, "0"))
	return err == nil && (a.IP.Equal(want.IP) || (a.IP.IsUnspecified() && (want.IP == nil || want.IP.IsUnspecified())))
}

func (d *Daemon) leave(ln net.Listener) error {
	fd, err := notify.FD(ln.(syscall.Conn))
	if err != nil {
		return err
	}
	return d.cfg.Notify.Store(socketName, fd)
}

// servePage serves until ctx ends, then waits a moment for answers that are on their way.
func (d *Daemon) servePage(ctx context.Context, ln net.Listener) error {
	srv := d.server(ctx, d.pageHandler())
	srv.TLSConfig = d.cert.TLSConfig() // the server adds its protocols
	return serve(ctx, srv, newLimited(ln))
}

// server returns one with the bounds of the page.
func (d *Daemon) server(ctx context.Context, handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:          slog.NewLogLogger(d.cfg.Log.Handler(), slog.LevelDebug), // of strangers' handshakes
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
}

// serve serves until ctx ends, over TLS if the server has a certificate.
func serve(ctx context.Context, srv *http.Server, ln net.Listener) error {
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if err := srv.Shutdown(stop); err != nil {
			ended <- srv.Close()
			return
		}
		ended <- nil
	}()
	begin := srv.Serve
	if srv.TLSConfig != nil {
		begin = func(ln net.Listener) error { return srv.ServeTLS(ln, "", "") }
	}
	if err := begin(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	}
	return <-ended
}

func (d *Daemon) pageHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(api.Prefix+"/", d.api)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		ctl.WriteProblem(w, problem.New(problem.Missing, "api.version", "there is no such version of the API", "use "+api.Prefix))
	})
	d.provision.Handle(mux)
	mux.HandleFunc(provision.PathPrefix, http.NotFound)
	mux.Handle("/", d.page)
	csrf := http.NewCrossOriginProtection()
	csrf.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		ctl.WriteProblem(w, problem.New(problem.Denied, "request.origin", "another site's page asked for this", "use the box's own page"))
	}))
	all := http.NewServeMux()
	all.Handle(exchange.Path, csrf.Handler(d.filesHandler()))        // has its own bounds of size and time
	all.Handle("POST "+api.UpdatePath, timedBody(csrf.Handler(mux))) // as large as an image; who is signed in gets the time
	all.Handle("/", timedBody(http.MaxBytesHandler(csrf.Handler(mux), maxBody)))
	return d.recovering(web.Secure(all))
}

// filesHandler serves phones that send and fetch files.
func (d *Daemon) filesHandler() http.Handler {
	mux := http.NewServeMux()
	d.files.Handle(mux)
	return mux
}

// timedBody bounds how long a request's body may take, also of one that nobody reads.
func timedBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil {
				http.Error(w, "the connection cannot be timed", http.StatusInternalServerError)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// recovering ends a request that panics, and only that.
func (d *Daemon) recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler {
				panic(v) // cuts the connection, as was meant
			}
			path, _, _ := strings.Cut(r.URL.Path, provision.PathPrefix) // without a token
			d.cfg.Log.Error("a request panicked", "path", path, "panic", v, "stack", string(debug.Stack()))
			ctl.WriteProblem(w, problem.New(problem.Internal, "internal", "the box could not do this", "try again; if it stays, send the log to support"))
		}()
		next.ServeHTTP(w, r)
	})
}
