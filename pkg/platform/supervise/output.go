package supervise

import (
	"bufio"
	"errors"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
)

// Limits of what programs write: a reader that stands still must not stop them, nor fill memory.
const (
	maxLine  = 8 << 10
	maxLines = 1024 // waiting
)

// output passes lines of many programs to one function.
type output struct {
	lines chan line
	lost  atomic.Int64
	wg    sync.WaitGroup // readers and waiters of programs
	done  chan struct{}  // closed when the writer has ended
}

type line struct{ name, text string }

func newOutput(write func(name, text string)) *output {
	if write == nil {
		write = func(string, string) {}
	}
	o := &output{lines: make(chan line, maxLines), done: make(chan struct{})}
	go func() {
		defer close(o.done)
		for l := range o.lines {
			write(l.name, l.text)
			if n := o.lost.Swap(0); n > 0 {
				write(l.name, "("+strconv.FormatInt(n, 10)+" lines lost: they came faster than they were read)")
			}
		}
	}()
	return o
}

// follow reads r to its end.
func (o *output) follow(name string, r *os.File) {
	o.wg.Go(func() {
		defer r.Close()
		br := bufio.NewReaderSize(r, maxLine)
		for {
			text, err := br.ReadSlice('\n')
			if n := len(text); n > 0 && text[n-1] == '\n' {
				text = text[:n-1]
			}
			if len(text) > 0 {
				o.put(line{name, string(text)}) // a line longer than maxLine goes on in the next
			}
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				return
			}
		}
	})
}

func (o *output) put(l line) {
	select {
	case o.lines <- l:
	default:
		o.lost.Add(1)
	}
}

// close ends when all programs have ended and what they wrote was passed on.
func (o *output) close() {
	o.wg.Wait()
	close(o.lines)
	<-o.done
}
