package exchange

import (
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// stall is how long a transfer may stand still. How long all of it takes is up to the line.
	stall = 30 * time.Second
	// longest bounds a transfer all the same: who sends a byte each half minute holds a place.
	longest = 2 * time.Hour
	// renewEvery keeps the clock's settings off the way of each packet.
	renewEvery = 5 * time.Second
)

// patient gives a request the exchange's own times in place of the page's.
func patient(w http.ResponseWriter, r *http.Request) error {
	rc := http.NewResponseController(w)
	until := time.Now().Add(stall)
	if r.ContentLength != 0 {
		if err := rc.SetReadDeadline(until); err != nil {
			return err
		}
	}
	return rc.SetWriteDeadline(until)
}

// slowBody is a body that may take long as long as it comes.
type slowBody struct {
	io.ReadCloser
	rc      *http.ResponseController
	begun   time.Time
	renewed time.Time
	left    int64 // bytes that may come before errLongHead
}

// errLongHead: a part's header that does not end would be kept in memory.
var errLongHead = errors.New("the headers of a part are too long")

func newSlowBody(w http.ResponseWriter, body io.ReadCloser) *slowBody {
	now := time.Now()
	return &slowBody{ReadCloser: body, rc: http.NewResponseController(w), begun: now, renewed: now}
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLongHead
	}
	if now := time.Now(); now.Sub(b.renewed) > renewEvery && now.Sub(b.begun) < longest {
		b.renewed = now
		if err := b.rc.SetReadDeadline(now.Add(stall)); err != nil {
			return 0, err
		}
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// slowWriter is an answer that may take long as long as it goes.
type slowWriter struct {
	http.ResponseWriter
	rc      *http.ResponseController
	begun   time.Time
	renewed time.Time
}

func newSlowWriter(w http.ResponseWriter) *slowWriter {
	now := time.Now()
	return &slowWriter{ResponseWriter: w, rc: http.NewResponseController(w), begun: now, renewed: now}
}

func (w *slowWriter) Write(p []byte) (int, error) {
	if now := time.Now(); now.Sub(w.renewed) > renewEvery && now.Sub(w.begun) < longest {
		w.renewed = now
		if err := w.rc.SetWriteDeadline(now.Add(stall)); err != nil {
			return 0, err
		}
	}
	return w.ResponseWriter.Write(p)
}
