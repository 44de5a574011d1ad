package ctl

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"time"
)

// A pipe carries many small requests on one connection: frames of length, id, verb and a packed body.
// A request costs a fraction of one over HTTP and JSON, which counts where every call makes three of
// them. Both ends are of one release; others refuse each other when they connect.
const (
	pipeProtocol   = "sanchar-pipe/4"
	pipeBufferSize = 64 << 10

	connectTimeout = 5 * time.Second
	restartTime    = 500 * time.Millisecond // in which a daemon that went away is back, else it stays away
	restartPause   = 5 * time.Millisecond   // between two looks for it
	maxPipeQueue   = 16 << 20               // bytes that wait for a daemon that hangs, until it is killed
)

// PipeHandler answers one request. It must not block: requests of a connection are handled in order.
type PipeHandler func(verb uint8, body []byte) (out Packer, err error)

// HandlePipe serves pipes at pattern, for instance "POST /v1/pipe".
func HandlePipe(mux *http.ServeMux, pattern string, handle PipeHandler) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != pipeProtocol {
			w.Header().Set("Upgrade", pipeProtocol) // RFC 9110 §15.5.22
			http.Error(w, "not the protocol of this pipe", http.StatusUpgradeRequired)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			WriteProblem(w, err)
			return
		}
		defer conn.Close()
		pc, err := newPipeConn(conn)
		if err != nil {
			return
		}
		stop := context.AfterFunc(r.Context(), func() { _ = conn.Close() })
		defer stop()
		if _, err := io.WriteString(pc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+pipeProtocol+"\r\n\r\n"); err != nil {
			return
		}
		early, _ := rw.Reader.Peek(rw.Reader.Buffered()) // it is buffered
		servePipe(pc, io.MultiReader(bytes.NewReader(early), pc), handle)
	})
}

// servePipe answers frames until the connection ends; answers leave when no further whole frame waits.
func servePipe(w io.Writer, from io.Reader, handle PipeHandler) {
	r := bufio.NewReaderSize(from, pipeBufferSize)
	var out, body []byte
	for {
		id, verb, b, err := readFrame(r, body)
		if err != nil {
			_, _ = w.Write(out) // of the frames before; the peer may be gone
			return
		}
		body = b
		out = appendAnswer(out, id, handle, verb, body)
		if !frameWaits(r) || len(out) > pipeBufferSize {
			if _, err := w.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
	}
}

func appendAnswer(out []byte, id uint64, handle PipeHandler, verb uint8, body []byte) []byte {
	v, err := handle(verb, body)
	if err == nil {
		out, err = appendFrame(out, id, answerRight, v)
	}
	if err != nil {
		out = appendProblemFrame(out, id, err)
	}
	return out
}
