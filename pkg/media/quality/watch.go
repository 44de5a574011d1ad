// Package quality says in words what the counters of a stream mean: whether its party is heard, and
// how well.
package quality

import (
	"net/netip"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// SilenceLimit is how long a party that should send may be silent before it is told: longer than
// any pause between comfort noise packets that we saw, short enough for a caller who says "hello?".
const SilenceLimit = 3 * time.Second

// FirstLimit is how long a party may take to its first packet while the other is heard: nobody begins with
// a pause.
const FirstLimit = 2 * time.Second

// Look is what is seen of a stream at one moment. Times are of the relay's clock.
type Look struct {
	Now, Last  int64          // Last: of the last media packet, 0 for none
	Remote     netip.AddrPort // proven peer
	Expected   bool           // the party should send now
	OtherSends bool           // the party that it talks with is heard
}

// Watch turns looks at one stream into events. It is looked by about once a second.
type Watch struct {
	remote netip.AddrPort // last told
	since  int64          // expected to send since, 0 for not
	told   string         // silent or one-way, "" while it is heard
}

// Resume is a watch on a stream whose peer was proven before a restart, so that nothing is told twice.
func Resume(remote netip.AddrPort) Watch { return Watch{remote: remote} }

// See tells what is new since the last look.
func (w *Watch) See(l Look, tell func(kind string)) {
	if l.Remote.IsValid() && l.Remote != w.remote {
		if w.remote.IsValid() {
			tell(ctl.MediaMoved)
		} else {
			tell(ctl.MediaStarted)
		}
		w.remote = l.Remote
	}
	switch kind := w.silence(l); {
	case kind == w.told:
	case kind != "":
		tell(kind)
		w.told = kind
	case l.Expected: // heard again, and not only excused
		tell(ctl.MediaResumed)
		w.told = ""
	default:
		w.told = ""
	}
}

// silence returns the kind of silence, if there is one.
func (w *Watch) silence(l Look) string {
	if !l.Expected {
		w.since = 0
		return ""
	}
	if w.since == 0 {
		w.since = l.Now
	}
	switch {
	case l.OtherSends && l.Last == 0 && l.Now-w.since >= int64(FirstLimit):
		return ctl.MediaOneWay
	case l.Now-max(l.Last, w.since) < int64(SilenceLimit):
		return ""
	case l.OtherSends:
		return ctl.MediaOneWay
	}
	return ctl.MediaSilent
}

// Heard reports whether a stream whose last packet came at last is heard at now.
func Heard(last, now int64) bool { return last != 0 && now-last < int64(SilenceLimit) }
