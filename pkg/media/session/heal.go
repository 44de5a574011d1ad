package session

import (
	"fmt"
	"time"

	"github.com/coraltele/sanchar/pkg/media/quality"
	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// maxFaults of a stream are kept: one that comes again and again is told often enough.
const maxFaults = 20

// healLocked finds out why a party is not heard, and does what the box can do about it by itself.
func (t *Table) healLocked(s *session, l *leg, i int, expected bool) {
	st := l.streams[i]
	if st.said == nil || !relay.IsRTP(st.kind) {
		return
	}
	found, relatch := st.doctor.See(quality.Signs{
		Expected: expected, Packets: st.state.In.Packets, Foreign: st.state.Foreign, ForeignType: st.state.ForeignType,
		Refused: st.state.Refused, Strangers: st.state.Strangers, Stranger: st.state.Stranger.AddrPort(),
		Said: st.said.RTP, Remote: st.state.RTP.Remote(),
	})
	if relatch {
		_ = s.loop.Do(func(int64) { st.relay.Relatch() }) // a loop that has ended hears nobody
	}
	for _, f := range found {
		if f.Kind == ctl.MediaCured {
			st.cured(f)
		} else {
			st.fault(f.Kind, f.Text)
		}
		t.tell(ctl.MediaEvent{
			Session: s.id, Leg: l.id, Index: i, Kind: f.Kind, Text: f.Text, Remote: st.state.RTP.Remote(), At: time.Now(),
		})
	}
}

// fault keeps what is wrong with a stream, unless it is known.
func (st *stream) fault(cause, text string) {
	if n := len(st.faults); n >= maxFaults || (n > 0 && st.faults[n-1].Cause == cause && st.faults[n-1].Cure == "") {
		return
	}
	st.faults = append(st.faults, ctl.MediaFault{At: time.Now().UTC(), Cause: cause, Text: text})
}

// cured keeps what the box did about a fault: about the last one, or one that nobody had found yet.
func (st *stream) cured(f quality.Finding) {
	if f.Cure == "" {
		return // it was not the box
	}
	if n := len(st.faults); n == 0 || st.faults[n-1].Cure != "" {
		st.fault(ctl.MediaOneWay, f.Text)
	}
	if n := len(st.faults); st.faults[n-1].Cure == "" {
		st.faults[n-1].Cure = f.Cure
	}
}

// unheard says why a party may not be heard, as far as its SDP tells.
func (st *stream) unheard() string {
	if st.said != nil && st.said.RTP.Addr().IsPrivate() && !st.state.RTP.Proven {
		return fmt.Sprintf("nothing has come from it; its SDP names the private address %s", st.said.RTP.Addr())
	}
	return "it does not send"
}
