package session

import (
	"time"

	"github.com/coraltele/sanchar/pkg/media/quality"
	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// notice is what has been told of a stream.
type notice struct {
	secured, zrtp, direct bool
	since                 int64 // its media is expected since; 0: it is not
}

// noticeLocked tells what protects a stream, and whether its media has left the box.
func (t *Table) noticeLocked(s *session, l *leg, i int, now int64) {
	st := l.streams[i]
	tell := func(kind, text string) {
		t.tell(ctl.MediaEvent{Session: s.id, Leg: l.id, Index: i, Kind: kind, Text: text, Remote: st.state.RTP.Remote(), At: time.Now()})
	}
	if st.state.Secured && !st.notice.secured {
		st.notice.secured = true
		tell(ctl.MediaSecured, st.secrets.ours.Suite)
	}
	if st.state.Encrypted && !st.notice.zrtp {
		st.notice.zrtp = true
		tell(ctl.MediaZRTP, "the parties key end to end")
	}
	if direct := st.leftLocked(l, i, now); direct != st.notice.direct {
		if st.notice.direct = direct; direct {
			tell(ctl.MediaDirect, "")
		}
	}
}

// leftLocked reports whether the parties have found a way of their own: their ICE has passed, media should
// flow, and neither sends to the box.
func (st *stream) leftLocked(l *leg, i int, now int64) bool {
	other := l.other(i)
	if other == nil || l.ours.ICE != ctl.ICEThrough || l.with.ours.ICE != ctl.ICEThrough || !checking(st) || !checking(other) ||
		!(flows(st, other) || flows(other, st)) || !relay.IsRTP(st.kind) {
		st.notice.since = 0
		return false
	}
	if st.notice.since == 0 {
		st.notice.since = now
	}
	quiet := func(last int64) bool { return now-max(last, st.notice.since) >= int64(quality.SilenceLimit) }
	return quiet(st.state.Last) && quiet(other.state.Last)
}
