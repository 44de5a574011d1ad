package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	maxWaiting  = 4096    // lines; a terminal that stands still holds up no daemon
	maxLogBytes = 8 << 20 // then the log becomes the old log, which is replaced
	tailLines   = 5       // of each daemon, to tell why it could not start
)

// console writes what the daemons and their supervisor say to the terminal and to a file. Saying
// never waits.
type console struct {
	lines chan string
	lost  atomic.Int64
	done  chan struct{} // closed when all is written
	err   error         // of the file; read after done

	mu   sync.Mutex // guards tail
	tail map[string][]string
}

// openConsole starts a console. Close it to have all written.
func openConsole(w io.Writer, path string) (*console, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := openLog(path)
	if err != nil {
		return nil, err
	}
	c := &console{lines: make(chan string, maxWaiting), done: make(chan struct{}), tail: map[string][]string{}}
	go func() {
		defer close(c.done)
		for text := range c.lines {
			c.write(w, f, text)
			if n := c.lost.Swap(0); n > 0 {
				c.write(w, f, fmt.Sprintf("%-8s| %d lines lost: they came faster than they were written", "sanchar", n))
			}
		}
		c.err = errors.Join(c.err, f.close())
	}()
	return c, nil
}

func (c *console) write(w io.Writer, f *logFile, text string) {
	_, _ = io.WriteString(w, text+"\n") // the terminal is gone; the file has it
	if err := f.write(text); err != nil && c.err == nil {
		c.err = err
	}
}

// say writes a line of one program.
func (c *console) say(name, text string) {
	c.mu.Lock()
	c.tail[name] = append(c.tail[name], text)
	if n := len(c.tail[name]); n > tailLines {
		c.tail[name] = c.tail[name][n-tailLines:]
	}
	c.mu.Unlock()
	select {
	case c.lines <- fmt.Sprintf("%-8s| %s", name, text):
	default:
		c.lost.Add(1)
	}
}

// Write makes the console the supervisor's log.
func (c *console) Write(p []byte) (int, error) {
	c.say("sanchar", string(bytes.TrimRight(p, "\n")))
	return len(p), nil
}

// lastWords returns what a program said last.
func (c *console) lastWords(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.tail[name], "\n")
}

// close returns when all is written. Nobody may say anything after.
func (c *console) close() error {
	close(c.lines)
	<-c.done
	return c.err
}

// logFile is a file that starts anew when it is full; the one before is kept.
type logFile struct {
	path string
	f    *os.File
	size int64
}

func openLog(path string) (*logFile, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &logFile{path: path, f: f, size: st.Size()}, nil
}

func (l *logFile) write(text string) error {
	if l.size+int64(len(text)) >= maxLogBytes {
		if err := l.turn(); err != nil {
			return err
		}
	}
	n, err := l.f.WriteString(text + "\n")
	l.size += int64(n)
	return err
}

func (l *logFile) turn() error {
	next := l.path + ".old"
	if err := os.Rename(l.path, next); err != nil {
		return err
	}
	fresh, err := openLog(l.path)
	if err != nil {
		return err
	}
	err = l.f.Close()
	*l = *fresh
	return err
}

func (l *logFile) close() error { return l.f.Close() }
