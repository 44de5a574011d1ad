package udpio

import (
	"syscall"
)

// Reader receives batches from a socket of package net. It waits in Go's poller, so that it costs
// a goroutine and no thread, and ends with the socket's deadline or Close.
type Reader struct {
	batch *Batch
	raw   syscall.RawConn
	try   func(fd uintptr) bool // kept: a closure for each read would be an allocation
	n     int
	err   error
}

// NewReader returns a reader of c into b.
func NewReader(c syscall.Conn, b *Batch) (*Reader, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	r := &Reader{batch: b, raw: raw}
	r.try = func(fd uintptr) bool {
		r.n, r.err = b.Recv(int(fd))
		return r.n > 0 || r.err != nil
	}
	return r, nil
}

// Read waits until the batch holds at least one datagram and returns how many it holds.
func (r *Reader) Read() (int, error) {
	if err := r.raw.Read(r.try); err != nil {
		return 0, err
	}
	return r.n, r.err
}

// Writer sends batches to a socket of package net and waits in Go's poller while its buffer is full.
type Writer struct {
	raw     syscall.RawConn
	try     func(fd uintptr) bool
	sender  *Sender
	refused int
	err     error
}

// NewWriter returns a writer of what s collects to c.
func NewWriter(c syscall.Conn, s *Sender) (*Writer, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	w := &Writer{raw: raw, sender: s}
	w.try = func(fd uintptr) bool {
		refused, err := s.Flush(int(fd))
		w.refused, w.err = w.refused+refused, err
		return err != nil || s.Len() == 0
	}
	return w, nil
}

// Flush sends all that the sender holds; refused are datagrams that the kernel would not send.
func (w *Writer) Flush() (refused int, err error) {
	w.refused, w.err = 0, nil
	if err := w.raw.Write(w.try); err != nil {
		w.sender.Drop()
		return w.refused, err
	}
	return w.refused, w.err
}
