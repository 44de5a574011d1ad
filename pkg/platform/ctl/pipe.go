package ctl

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// A pipe carries many small requests on one connection: frames of length, id, verb and JSON,
// written together when they wait together. A request costs a fraction of one over HTTP, which
// counts where every call makes three of them.
//
// Frame: uint32 length of what follows, uint64 id, uint8 verb (of an answer: 0 right, 1 a problem), body.
const (
	pipeProtocol   = "sanchar-pipe/1"
	pipeHead       = 4 + 8 + 1
	maxPipeBody    = 1 << 20
	pipeBufferSize = 64 << 10
	answerRight    = 0
	answerProblem  = 1

	connectTimeout = 5 * time.Second
	restartTime    = 500 * time.Millisecond // in which a daemon that went away is back, else it stays away
	restartPause   = 5 * time.Millisecond   // between two looks for it
	maxPipeQueue   = 16 << 20               // bytes that wait for a daemon that hangs, until it is killed
)

// PipeHandler answers one request. It must not block: requests of a connection are handled in order.
type PipeHandler func(verb uint8, body []byte) (out any, err error)

// HandlePipe serves pipes at pattern, for instance "POST /v1/pipe".
func HandlePipe(mux *http.ServeMux, pattern string, handle PipeHandler) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			WriteProblem(w, err)
			return
		}
		defer conn.Close()
		stop := context.AfterFunc(r.Context(), func() { _ = conn.Close() })
		defer stop()
		if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+pipeProtocol+"\r\n\r\n"); err != nil {
			return
		}
		servePipe(conn, rw.Reader, handle)
	})
}

// servePipe answers frames until the connection ends; answers leave when no further whole frame waits.
func servePipe(conn net.Conn, r *bufio.Reader, handle PipeHandler) {
	r = bufio.NewReaderSize(r, pipeBufferSize)
	var out, body []byte
	for {
		id, verb, b, err := readFrame(r, body)
		if err != nil {
			_, _ = conn.Write(out) // of the frames before; the peer may be gone
			return
		}
		body = b
		out = appendAnswer(out, id, handle, verb, body)
		if !frameWaits(r) || len(out) > pipeBufferSize {
			if _, err := conn.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
	}
}

// frameWaits reports whether the next readFrame needs not wait for the peer.
func frameWaits(r *bufio.Reader) bool {
	if r.Buffered() < pipeHead {
		return false
	}
	head, _ := r.Peek(4) // it is buffered
	return uint64(r.Buffered()) >= 4+uint64(binary.LittleEndian.Uint32(head))
}

func appendAnswer(out []byte, id uint64, handle PipeHandler, verb uint8, body []byte) []byte {
	v, err := handle(verb, body)
	code := uint8(answerRight)
	if err != nil {
		v, code = problem.Of(err), answerProblem
	}
	framed, err := appendJSONFrame(out, id, code, v)
	if err != nil {
		framed, _ = appendJSONFrame(out, id, answerProblem, problem.Of(err)) // a problem always encodes
	}
	return framed
}

func readFrame(r *bufio.Reader, buf []byte) (id uint64, verb uint8, body []byte, err error) {
	var head [pipeHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, nil, err
	}
	n := int(binary.LittleEndian.Uint32(head[:])) - (pipeHead - 4)
	if n < 0 || n > maxPipeBody {
		return 0, 0, nil, fmt.Errorf("frame of %d bytes: not between 0 and %d", n, maxPipeBody)
	}
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	body = buf[:n]
	_, err = io.ReadFull(r, body)
	return binary.LittleEndian.Uint64(head[4:]), head[12], body, err
}

func appendJSONFrame(dst []byte, id uint64, verb uint8, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return dst, err
	}
	if len(body) > maxPipeBody { // the peer would end the connection, and with it all other calls
		return dst, fmt.Errorf("frame of %d bytes: not between 0 and %d", len(body), maxPipeBody)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(pipeHead-4+len(body)))
	dst = binary.LittleEndian.AppendUint64(dst, id)
	dst = append(dst, verb)
	return append(dst, body...), nil
}

// Pipe is the client's end. It connects when first used and again after a failure.
type Pipe struct {
	name, socket, path string

	mu     sync.Mutex // guards what follows
	conn   net.Conn
	nextID uint64
	calls  map[uint64]chan pipeAnswer
	out    []byte    // frames that wait for the writer
	idle   bool      // no writer is at work
	lost   time.Time // when the daemon went away
}

type pipeAnswer struct {
	problem bool
	body    []byte
	err     error
}

// NewPipe returns a pipe to the daemon name that serves the unix socket and has a pipe at path.
func NewPipe(name, socket, path string) *Pipe {
	return &Pipe{name: name, socket: socket, path: path, calls: map[uint64]chan pipeAnswer{}, idle: true}
}

// Call sends in and reads the answer into out, if not nil.
func (p *Pipe) Call(ctx context.Context, verb uint8, in, out any) error {
	ch := make(chan pipeAnswer, 1)
	id, err := p.post(ctx, verb, in, ch)
	if err != nil {
		return p.away(err)
	}
	select {
	case a := <-ch:
		return p.answer(a, out)
	case <-ctx.Done():
		p.mu.Lock()
		delete(p.calls, id)
		p.mu.Unlock()
		return p.away(ctx.Err())
	}
}

func (p *Pipe) away(cause error) error {
	return problem.Wrap(cause, problem.Unavailable, p.name+".away", "the part "+p.name+" does not answer",
		"wait a moment: it is restarted by itself")
}

func (p *Pipe) answer(a pipeAnswer, out any) error {
	switch {
	case a.err != nil:
		return p.away(a.err)
	case a.problem:
		e := new(problem.Error)
		if err := json.Unmarshal(a.body, e); err != nil {
			return fmt.Errorf("%s: problem: %w", p.name, err)
		}
		return e
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		return fmt.Errorf("%s: answer: %w", p.name, err)
	}
	return nil
}

// post queues a frame and makes sure that somebody writes it.
func (p *Pipe) post(ctx context.Context, verb uint8, in any, ch chan pipeAnswer) (uint64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		if err := p.connectLocked(ctx); err != nil {
			return 0, err
		}
	}
	if len(p.out) > maxPipeQueue {
		return 0, errors.New("too many requests wait")
	}
	p.nextID++
	id := p.nextID
	out, err := appendJSONFrame(p.out, id, verb, in)
	if err != nil {
		return 0, err
	}
	p.out = out
	p.calls[id] = ch
	if p.idle {
		p.idle = false
		go p.write(p.conn)
	}
	return id, nil
}

// write sends all that waits, also what is added meanwhile, and ends.
func (p *Pipe) write(conn net.Conn) {
	var buf []byte
	for {
		p.mu.Lock()
		if p.conn != conn || len(p.out) == 0 {
			p.idle = p.idle || p.conn == conn
			p.mu.Unlock()
			return
		}
		buf, p.out = p.out, buf[:0]
		p.mu.Unlock()
		if _, err := conn.Write(buf); err != nil {
			p.fail(conn, err)
			return
		}
	}
}

// connectLocked waits for no daemon that accepts and then hangs: others wait for the lock.
func (p *Pipe) connectLocked(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", p.socket)
	for err != nil && ctx.Err() == nil && time.Since(p.lost) < restartTime { // nothing is sent yet, so nothing is sent twice
		time.Sleep(restartPause)
		conn, err = d.DialContext(ctx, "unix", p.socket)
	}
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // in the past: ends all waits
	r, err := p.upgrade(conn)
	if !stop() {
		err = errors.Join(err, ctx.Err())
	}
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	p.conn, p.idle, p.out = conn, true, nil
	go p.read(conn, r)
	return nil
}

func (p *Pipe) upgrade(conn net.Conn) (*bufio.Reader, error) {
	if _, err := io.WriteString(conn, "POST "+p.path+" HTTP/1.1\r\nHost: unix\r\nConnection: Upgrade\r\nUpgrade: "+pipeProtocol+"\r\n\r\n"); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(conn, pipeBufferSize)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("%s answered %s", p.name, resp.Status)
	}
	return r, nil
}

func (p *Pipe) read(conn net.Conn, r *bufio.Reader) {
	for {
		id, code, body, err := readFrame(r, nil)
		if err != nil {
			p.fail(conn, err)
			return
		}
		p.mu.Lock()
		ch := p.calls[id]
		delete(p.calls, id)
		p.mu.Unlock()
		if ch != nil {
			ch <- pipeAnswer{problem: code == answerProblem, body: body}
		}
	}
}

// fail ends a connection: whoever waits on it is told, the next call connects anew.
func (p *Pipe) fail(conn net.Conn, err error) {
	_ = conn.Close() // it is broken already
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != conn {
		return
	}
	p.conn, p.lost = nil, time.Now()
	for id, ch := range p.calls {
		delete(p.calls, id)
		ch <- pipeAnswer{err: err}
	}
}

// Close ends the pipe; calls that wait fail.
func (p *Pipe) Close() error {
	p.mu.Lock()
	conn := p.conn
	p.mu.Unlock()
	if conn != nil {
		p.fail(conn, net.ErrClosed)
	}
	return nil
}
