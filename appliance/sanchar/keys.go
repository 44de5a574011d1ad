package main

import (
	"context"
	"io"
	"sync"
)

// maxTyped is how much may be typed ahead of what is being done; the rest is not heard.
const maxTyped = 1024

// Keys that end a line of input in other programs. Here they empty it.
const (
	ctrlC = 0x03
	ctrlU = 0x15
)

// keys is a terminal's keyboard: what is typed waits until it is read, and Ctrl-C reaches what is being
// done, though nobody reads then.
type keys struct {
	io.Writer // the terminal's screen
	ctx       context.Context
	typed     chan byte
	gone      chan struct{} // closed when the terminal is

	mu        sync.Mutex // guards interrupt
	interrupt func()     // of what is being done; nil while a line is typed
}

func newKeys(ctx context.Context, screen io.Writer) *keys {
	return &keys{Writer: screen, ctx: ctx, typed: make(chan byte, maxTyped), gone: make(chan struct{})}
}

// pump takes what is typed, until the terminal is gone.
func (k *keys) pump(keyboard io.Reader) {
	defer close(k.gone)
	buf := make([]byte, 256)
	for {
		n, err := keyboard.Read(buf)
		for _, b := range buf[:n] {
			k.put(b)
		}
		if err != nil {
			return
		}
	}
}

func (k *keys) put(b byte) {
	all := []byte{b}
	if b == ctrlC {
		k.mu.Lock()
		interrupt := k.interrupt
		k.mu.Unlock()
		if interrupt != nil {
			interrupt()
			return
		}
		all = []byte{ctrlU, '\r'}
	}
	for _, b := range all {
		select {
		case k.typed <- b:
		default:
		}
	}
}

// while lets Ctrl-C end what do does.
func (k *keys) while(ctx context.Context, do func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k.set(cancel)
	defer k.set(nil)
	do(ctx)
}

func (k *keys) set(interrupt func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.interrupt = interrupt
}

// Read returns what was typed. It waits for the first key.
func (k *keys) Read(p []byte) (n int, err error) {
	select {
	case p[0] = <-k.typed:
		n = 1
	case <-k.gone:
		return 0, io.EOF
	case <-k.ctx.Done():
		return 0, io.EOF
	}
	for n < len(p) {
		select {
		case p[n] = <-k.typed:
			n++
		default:
			return n, nil
		}
	}
	return n, nil
}
