// Package slogx makes the daemons' loggers: two levels below debug for protocol text, a level that
// can be changed at run time for each part, and credentials redacted at every level.
package slogx

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
)

// Levels below slog's own: protocol text, and the bodies it carries.
const (
	Trace     = slog.Level(-8)
	TraceData = slog.Level(-12)
)

// Levels holds the level of each part of a daemon; it may be changed while the daemon runs.
type Levels struct {
	base slog.LevelVar

	mu    sync.Mutex // guards parts
	parts map[string]*partLevel
}

// partLevel is asked for every line, so it takes no lock.
type partLevel struct {
	base *slog.LevelVar
	own  slog.LevelVar
	set  atomic.Bool // the part has a level of its own
}

func (p *partLevel) Level() slog.Level {
	if p.set.Load() {
		return p.own.Level()
	}
	return p.base.Level()
}

// NewLevels returns levels that are all base until set otherwise.
func NewLevels(base slog.Level) *Levels {
	l := &Levels{parts: map[string]*partLevel{}}
	l.base.Set(base)
	return l
}

// Set changes the level of part, or of every part that has none of its own when part is "".
func (l *Levels) Set(part string, level slog.Level) {
	if part == "" {
		l.base.Set(level)
		return
	}
	p := l.part(part)
	p.own.Set(level)
	p.set.Store(true)
}

func (l *Levels) part(name string) *partLevel {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.parts[name]
	if p == nil {
		p = &partLevel{base: &l.base}
		l.parts[name] = p
	}
	return p
}

// ParseLevel reads the name of a level as an admin writes it.
func ParseLevel(name string) (slog.Level, error) {
	switch name {
	case "trace":
		return Trace, nil
	case "tracedata":
		return TraceData, nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return 0, fmt.Errorf("level %q: not one of tracedata, trace, debug, info, warn, error", name)
	}
	return level, nil
}

// New returns a logger that writes lines to w. The attribute part, set by Part, selects the level.
func New(w io.Writer, levels *Levels) *slog.Logger {
	inner := slog.NewTextHandler(w, &slog.HandlerOptions{Level: TraceData, ReplaceAttr: replace})
	return slog.New(&handler{inner: inner, levels: levels, part: levels.part("")})
}

// Part returns the logger of one part of a daemon.
func Part(log *slog.Logger, name string) *slog.Logger { return log.With(partKey, name) }

const partKey = "part"

// handler filters by the part's level. A logger's part is fixed when With is called.
type handler struct {
	inner  slog.Handler
	levels *Levels
	part   *partLevel
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.part.Level()
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error { return h.inner.Handle(ctx, r) }

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	part := h.part
	for _, a := range attrs {
		if a.Key == partKey {
			part = h.levels.part(a.Value.String())
		}
	}
	return &handler{inner: h.inner.WithAttrs(attrs), levels: h.levels, part: part}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{inner: h.inner.WithGroup(name), levels: h.levels, part: h.part}
}

// replace names our levels and redacts what no log may show.
func replace(_ []string, a slog.Attr) slog.Attr {
	switch {
	case a.Key == slog.LevelKey:
		if level, ok := a.Value.Any().(slog.Level); ok && level < slog.LevelDebug {
			return slog.String(slog.LevelKey, map[bool]string{true: "TRACE", false: "TRACEDATA"}[level >= Trace])
		}
	case secretKey(a.Key):
		return slog.String(a.Key, redacted)
	case a.Value.Kind() == slog.KindString:
		return slog.String(a.Key, Redact(a.Value.String()))
	case a.Value.Kind() == slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			return slog.String(a.Key, Redact(err.Error()))
		}
	}
	return a
}

const redacted = "(redacted)"

func secretKey(key string) bool {
	switch strings.ToLower(key) {
	case "password", "passwd", "secret", "ha1", "token", "key", "cookie", "code":
		return true
	}
	return false
}

// secretMarks start a secret in protocol text; the secret ends at one of the bytes in ends.
var secretMarks = []struct{ mark, ends string }{
	{"response=\"", "\""},                 // RFC 7616 §3.4: the digest lets a password be guessed off line
	{"inline:", " |\r\n"},                 // RFC 4568 §6.1: an SRTP master key in a=crypto
	{"a=ice-pwd:", " \r\n"},               // RFC 8839 §5.4
	{"k=", "\r\n"},                        // RFC 8866 §5.12, obsolete but still sent
	{"Authorization: Bearer ", " ,;\r\n"}, // RFC 6750 §2.1
	{"Cookie: ", "\r\n"},
}

// Redact returns text with every secret that protocol text can carry replaced.
func Redact(text string) string {
	for _, m := range secretMarks {
		text = redactOne(text, m.mark, m.ends)
	}
	return text
}

func redactOne(text, mark, ends string) string {
	at := indexMark(text, mark)
	if at < 0 {
		return text
	}
	var b strings.Builder
	for ; at >= 0; at = indexMark(text, mark) {
		b.WriteString(text[:at+len(mark)])
		b.WriteString(redacted)
		text = text[at+len(mark):]
		end := strings.IndexAny(text, ends)
		if end < 0 {
			return b.String()
		}
		text = text[end:]
	}
	b.WriteString(text)
	return b.String()
}

// indexMark finds mark; "k=" counts at the start of a line only.
func indexMark(text, mark string) int {
	if mark != "k=" {
		return strings.Index(text, mark)
	}
	if at := strings.Index(text, "\nk="); at >= 0 {
		return at + 1
	}
	return -1
}
