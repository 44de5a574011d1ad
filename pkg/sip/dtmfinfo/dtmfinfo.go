// Package dtmfinfo reads and writes key presses in the bodies of INFO requests, as phones of before
// RFC 4733 send them.
package dtmfinfo

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The types of such bodies. No RFC names them; INFO itself is of RFC 6086, whose packages they don't use.
const (
	TypeRelay = "application/dtmf-relay" // Signal= and Duration= lines
	TypePlain = "application/dtmf"       // the sign alone, or the lines as well
)

// Bounds of what a press may say.
const (
	maxBody         = 512
	MaxDuration     = 10 * time.Second
	DefaultDuration = 160 * time.Millisecond // where a body tells none
)

// Press is one key.
type Press struct {
	Sign     byte // 0 to 9, *, #, A to D
	Duration time.Duration
}

// Supported reports whether a body of this type is a press: parameters don't count.
func Supported(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.TrimSpace(media)
	return strings.EqualFold(media, TypeRelay) || strings.EqualFold(media, TypePlain)
}

// Parse reads a body of either type: phones mix them up.
func Parse(body []byte) (p Press, err error) {
	if len(body) > maxBody {
		return p, fmt.Errorf("key press has %d bytes: it may have %d", len(body), maxBody)
	}
	p.Duration = DefaultDuration
	signal, found := "", false
	for line := range strings.Lines(string(body)) {
		name, value, pair := strings.Cut(line, "=")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case !pair && name != "" && !found:
			signal, found = strings.TrimSpace(line), true
		case name == "signal" || name == "d": // d= is what some gateways write
			signal, found = value, true
		case name == "duration":
			if p.Duration, err = duration(value); err != nil {
				return p, err
			}
		}
	}
	p.Sign, err = sign(signal)
	return p, err
}

// sign reads the key. Some phones write * and # as the numbers that RFC 4733 §3.2 gives them.
func sign(signal string) (byte, error) {
	switch n, err := strconv.Atoi(signal); {
	case len(signal) == 2 && err == nil && n >= 10 && n < 16:
		return "*#ABCD"[n-10], nil
	case len(signal) == 1 && strings.Contains("0123456789*#ABCDabcd", signal):
		return strings.ToUpper(signal)[0], nil
	}
	return 0, fmt.Errorf("key press has the signal %.20q: it must be 0 to 9, *, #, or A to D", signal)
}

func duration(value string) (time.Duration, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("key press has the duration %.20q: it must be a number of milliseconds", value)
	}
	if n == 0 {
		return DefaultDuration, nil
	}
	return time.Duration(min(n, int(MaxDuration/time.Millisecond))) * time.Millisecond, nil
}

// Relay returns the body of TypeRelay.
func (p Press) Relay() []byte {
	return fmt.Appendf(nil, "Signal=%c\r\nDuration=%d\r\n", p.Sign, p.Duration.Milliseconds())
}

// Plain returns the body of TypePlain.
func (p Press) Plain() []byte { return []byte{p.Sign} }
