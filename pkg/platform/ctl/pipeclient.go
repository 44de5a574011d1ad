package ctl

import (
	"bufio"
	"context"
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

// Pipe is the client's end. It connects when first used and again after a failure.
type Pipe struct {
	name, socket, path string

	mu     sync.Mutex // guards what follows
	conn   *pipeConn
	nextID uint64
	calls  map[uint64]*waiter
	free   []*waiter
	out    []byte    // frames that wait to be written
	spare  []byte    // the writer's, while there is one
	idle   bool      // nobody writes
	lost   time.Time // when the daemon went away
}

// waiter is a call on its way. Whoever takes it out of Pipe.calls may touch out, and ends it.
type waiter struct {
	out  Unpacker
	done chan error
}

// maxFreeWaiters is how many are kept for the next calls: as many as wait at a time on a busy box.
const maxFreeWaiters = 64

// NewPipe returns a pipe to the daemon name that serves the unix socket and has a pipe at path.
func NewPipe(name, socket, path string) *Pipe {
	return &Pipe{name: name, socket: socket, path: path, calls: map[uint64]*waiter{}, idle: true}
}

// Call sends in and reads the answer into out, if not nil.
func (p *Pipe) Call(ctx context.Context, verb uint8, in Packer, out Unpacker) error {
	id, w, err := p.post(ctx, verb, in, out)
	if err != nil {
		return p.away(err)
	}
	select {
	case err = <-w.done:
	case <-ctx.Done():
		if err = p.away(ctx.Err()); p.take(id) == nil {
			err = <-w.done // it is answered just now
		}
	}
	p.mu.Lock()
	if len(p.free) < maxFreeWaiters {
		w.out = nil
		p.free = append(p.free, w)
	}
	p.mu.Unlock()
	return err
}

// take returns the call that waits under id, if any, for the one who ends it.
func (p *Pipe) take(id uint64) *waiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.calls[id]
	delete(p.calls, id)
	return w
}

func (p *Pipe) away(cause error) error {
	return problem.Wrap(cause, problem.Unavailable, p.name+".away", "the part "+p.name+" does not answer",
		"wait a moment: it is restarted by itself")
}

// post queues a frame and makes sure that somebody writes it.
func (p *Pipe) post(ctx context.Context, verb uint8, in Packer, out Unpacker) (id uint64, w *waiter, err error) {
	p.mu.Lock()
	id, w, err = p.queueLocked(ctx, verb, in, out)
	conn, write := p.conn, err == nil && p.idle
	if write {
		p.idle = false
	}
	p.mu.Unlock()
	if write {
		p.write(conn)
	}
	return id, w, err
}

func (p *Pipe) queueLocked(ctx context.Context, verb uint8, in Packer, out Unpacker) (id uint64, w *waiter, err error) {
	if p.conn == nil {
		if err := p.connectLocked(ctx); err != nil {
			return 0, nil, err
		}
	}
	if len(p.out) > maxPipeQueue {
		return 0, nil, errors.New("too many requests wait")
	}
	p.nextID++
	if p.out, err = appendFrame(p.out, p.nextID, verb, in); err != nil {
		return 0, nil, err
	}
	if n := len(p.free); n > 0 {
		w, p.free = p.free[n-1], p.free[:n-1]
	} else {
		w = &waiter{done: make(chan error, 1)}
	}
	w.out = out
	p.calls[p.nextID] = w
	return p.nextID, w, nil
}

// write sends all that waits, also what is added meanwhile. The caller does not wait for a daemon that
// does not read: a goroutine does.
func (p *Pipe) write(conn *pipeConn) {
	for buf := p.waiting(conn); len(buf) > 0; buf = p.waiting(conn) {
		n, err := conn.writeNow(buf)
		switch {
		case err != nil:
			p.fail(conn, err)
			return
		case n < len(buf):
			go p.push(conn, buf[n:])
			return
		}
	}
}

func (p *Pipe) push(conn *pipeConn, rest []byte) {
	if _, err := conn.Write(rest); err != nil {
		p.fail(conn, err)
		return
	}
	p.write(conn)
}

// waiting returns what the writer is to write, or nothing to end it.
func (p *Pipe) waiting(conn *pipeConn) (buf []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.conn != conn:
		return nil
	case len(p.out) == 0:
		p.idle = true
		return nil
	case cap(p.spare) > pipeBufferSize:
		p.spare = nil // of a time when the daemon was slow
	}
	p.out, p.spare = p.spare[:0], p.out
	return p.spare
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
	pc, r, err := p.upgrade(conn)
	if !stop() {
		err = errors.Join(err, ctx.Err())
	}
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	p.conn, p.idle, p.out, p.spare = pc, true, nil, nil
	go p.read(pc, r)
	return nil
}

func (p *Pipe) upgrade(conn net.Conn) (*pipeConn, *bufio.Reader, error) {
	pc, err := newPipeConn(conn)
	if err != nil {
		return nil, nil, err
	}
	if _, err := io.WriteString(pc, "POST "+p.path+" HTTP/1.1\r\nHost: unix\r\nConnection: Upgrade\r\nUpgrade: "+pipeProtocol+"\r\n\r\n"); err != nil {
		return nil, nil, err
	}
	r := bufio.NewReaderSize(pc, pipeBufferSize)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, nil, err
	}
	switch got := resp.Header.Get("Upgrade"); {
	case got != "" && got != pipeProtocol:
		return nil, nil, fmt.Errorf("%s is of another release: it speaks %s, not %s", p.name, got, pipeProtocol)
	case resp.StatusCode != http.StatusSwitchingProtocols:
		return nil, nil, fmt.Errorf("%s answered %s", p.name, resp.Status)
	}
	return pc, r, nil
}

// read ends calls as their answers come.
func (p *Pipe) read(conn *pipeConn, r *bufio.Reader) {
	var buf []byte
	for {
		id, code, body, err := readFrame(r, buf)
		if err != nil {
			p.fail(conn, err)
			return
		}
		buf = body
		if w := p.take(id); w != nil {
			w.done <- p.answer(code, body, w.out)
		}
	}
}

func (p *Pipe) answer(code uint8, body []byte, out Unpacker) error {
	switch {
	case code == answerProblem:
		e := new(problem.Error)
		if err := json.Unmarshal(body, e); err != nil {
			return fmt.Errorf("%s: problem: %w", p.name, err)
		}
		return e
	case out == nil:
		return nil
	}
	if err := Unpack(body, out); err != nil {
		return fmt.Errorf("%s: answer: %w", p.name, err)
	}
	return nil
}

// fail ends a connection: whoever waits on it is told, the next call connects anew.
func (p *Pipe) fail(conn *pipeConn, err error) {
	_ = conn.Close() // it is broken already
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != conn {
		return
	}
	p.conn, p.lost = nil, time.Now()
	for id, w := range p.calls {
		delete(p.calls, id)
		w.done <- p.away(err)
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
