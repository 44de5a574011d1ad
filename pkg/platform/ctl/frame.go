package ctl

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"github.com/coraltele/sanchar/pkg/base/pack"
	"github.com/coraltele/sanchar/pkg/base/problem"
)

// Frame: uint32 length of what follows, uint64 id, uint8 verb (of an answer: 0 right, 1 a problem), body.
// A body is packed as its verb's type says; a problem is JSON, as everywhere.
const (
	pipeHead      = 4 + 8 + 1
	maxPipeBody   = 1 << 20
	answerRight   = 0
	answerProblem = 1
)

// Packer is a value that can be written to a pipe.
type Packer interface{ Pack(w *pack.Writer) }

// Unpacker is a value that can be read from a pipe. It keeps nothing of the reader's bytes.
type Unpacker interface{ Unpack(r *pack.Reader) }

// Unpack reads a body whole into v.
func Unpack(body []byte, v Unpacker) error {
	r := pack.Reader{B: body}
	v.Unpack(&r)
	switch {
	case r.Err != nil:
		return r.Err
	case len(r.B) != 0:
		return fmt.Errorf("%d bytes more than %T has", len(r.B), v)
	}
	return nil
}

// appendFrame appends a frame, or nothing if it would be too long. A nil value has an empty body.
func appendFrame(dst []byte, id uint64, verb uint8, v Packer) ([]byte, error) {
	w := pack.Writer{B: appendHead(dst, id, verb)}
	if v != nil {
		v.Pack(&w)
	}
	return endFrame(w.B, len(dst))
}

func appendProblemFrame(dst []byte, id uint64, err error) []byte {
	body, err := json.Marshal(problem.Of(err))
	if err != nil || len(body) > maxPipeBody {
		body = []byte("{}") // a problem always encodes
	}
	framed, _ := endFrame(append(appendHead(dst, id, answerProblem), body...), len(dst)) // it is short enough
	return framed
}

func appendHead(dst []byte, id uint64, verb uint8) []byte {
	dst = append(dst, 0, 0, 0, 0)
	return append(binary.LittleEndian.AppendUint64(dst, id), verb)
}

// endFrame writes the length of the frame that began at start.
func endFrame(b []byte, start int) ([]byte, error) {
	n := len(b) - start
	if n > pipeHead+maxPipeBody { // the peer would end the connection, and with it all other calls
		return b[:start], fmt.Errorf("frame of %d bytes: not between 0 and %d", n-pipeHead, maxPipeBody)
	}
	binary.LittleEndian.PutUint32(b[start:], uint32(n-4))
	return b, nil
}

// frameWaits reports whether the next readFrame needs not wait for the peer.
func frameWaits(r *bufio.Reader) bool {
	if r.Buffered() < pipeHead {
		return false
	}
	head, _ := r.Peek(4) // it is buffered
	return uint64(r.Buffered()) >= 4+uint64(binary.LittleEndian.Uint32(head))
}

// readFrame reads a frame; its body is in buf if there is room.
func readFrame(r *bufio.Reader, buf []byte) (id uint64, verb uint8, body []byte, err error) {
	head, err := r.Peek(pipeHead)
	if err != nil {
		return 0, 0, nil, err
	}
	n := int(binary.LittleEndian.Uint32(head)) - (pipeHead - 4)
	id, verb = binary.LittleEndian.Uint64(head[4:]), head[12]
	if n < 0 || n > maxPipeBody {
		return 0, 0, nil, fmt.Errorf("frame of %d bytes: not between 0 and %d", n, maxPipeBody)
	}
	_, _ = r.Discard(pipeHead) // it is buffered
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	body = buf[:n]
	_, err = io.ReadFull(r, body)
	return id, verb, body, err
}
